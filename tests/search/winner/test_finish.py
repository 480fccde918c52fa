"""The files that ended trials leave on disk."""

from hypothesis import given, settings
from hypothesis import strategies as st

from tlsearch.config.catalog import Direction
from tlsearch.results.rank.standings import KEPT_TRIALS, ranked_trials
from tlsearch.results.record.directory import StudyDirectory
from tlsearch.results.record.journal import StudyRecord, TrialRecord
from tlsearch.search.winner.finish import drop_weights

states = st.sampled_from(["finished", "stopped", "diverged", "failed", "unfinished"])
trials = st.lists(st.tuples(states, st.floats(0, 1)), max_size=15)


@settings(deadline=None, max_examples=30)
@given(trials)
def test_weights_of_the_best_stay_and_resume_states_of_the_unfinished(tmp_path_factory, drawn):
    home = StudyDirectory(tmp_path_factory.mktemp("study"))
    record = StudyRecord(
        Direction.MAX,
        tuple(TrialRecord(n, state, {}, {1: v}) for n, (state, v) in enumerate(drawn)),
    )
    for trial in record.trials:
        home.trial(trial.number).mkdir(parents=True)
        for name in ("best.npz", "predictions.npz", "resume.npz", "log"):
            (home.trial(trial.number) / name).touch()
    drop_weights(home, record)
    unfinished = {t.number for t in record.trials if t.state == "unfinished"}
    best = {t.number for t in ranked_trials(record)[:KEPT_TRIALS]}
    assert _holding(home, record, "resume.npz") == unfinished
    assert _holding(home, record, "best.npz") >= best
    assert len(_holding(home, record, "best.npz") - unfinished) <= KEPT_TRIALS
    assert len(_holding(home, record, "log")) == len(drawn)
    assert _holding(home, record, "predictions.npz") == _holding(home, record, "best.npz")


def test_what_an_end_makes_needless_is_forgotten_and_nothing_else(tmp_path):
    home = StudyDirectory(tmp_path)
    record = StudyRecord(
        Direction.MAX, tuple(TrialRecord(n, "stopped", {}, {1: 0.5}) for n in range(3))
    )
    for trial in record.trials:
        home.trial(trial.number).mkdir(parents=True)
        for name in ("best.npz", "predictions.npz", "resume.npz"):
            (home.trial(trial.number) / name).touch()
    home.drop_resume_state(1)
    assert _holding(home, record, "best.npz") == {0, 1, 2}
    home.drop_best(0)
    assert _holding(home, record, "best.npz") == {1, 2}
    assert _holding(home, record, "predictions.npz") == {1, 2}
    assert _holding(home, record, "resume.npz") == {0, 2}


def _holding(home, record, name):
    return {t.number for t in record.trials if (home.trial(t.number) / name).is_file()}

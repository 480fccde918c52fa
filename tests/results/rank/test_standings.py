"""The standings updated after each trial equal those computed from the whole record."""

from hypothesis import given
from hypothesis import strategies as st

from tlsearch.config.catalog import Direction
from tlsearch.results.rank.standings import Standings, keep_for_export, ranked_trials
from tlsearch.results.record.journal import StudyRecord, TrialRecord

KEEP = 2
STATES = ("unfinished", "finished", "stopped", "diverged", "failed")
values = st.sampled_from([0.1, 0.2, 0.3])  # ties are frequent
# the values of a trial, and how it ended
trials = st.lists(st.tuples(st.lists(values, max_size=3), st.sampled_from(STATES)), max_size=8)


@st.composite
def studies(draw):
    """Draw a study's trials, and an order of their steps (values, then the end)."""
    drawn = draw(trials)
    steps = [n for n, (vs, state) in enumerate(drawn) for _ in (*vs, state)]
    return draw(st.sampled_from(Direction)), drawn, draw(st.permutations(steps))


@given(studies())
def test_after_every_step_they_say_what_the_record_says(study) -> None:
    direction, drawn, order = study
    standings = Standings(direction, KEEP)
    taken = dict.fromkeys(range(len(drawn)), 0)
    now: dict[int, TrialRecord] = {}
    on_disk: set[int] = set()
    for number in order:
        found, state = drawn[number]
        at, taken[number] = taken[number], taken[number] + 1
        seen = dict(enumerate(found[: at + 1], start=1))
        if at < len(found):
            standings.report(number, found[at])
            now[number] = TrialRecord(number, "unfinished", {}, seen)
        else:
            now[number] = TrialRecord(number, state, {}, seen)
            if state != "unfinished":
                standings.end(now[number])
                on_disk |= {number}
                on_disk -= {standings.dropped}
        record = StudyRecord(direction, tuple(now[n] for n in sorted(now)))
        best = next(iter(ranked_trials(record)), None)
        assert standings.leader == (best and (best.number, best.best(direction)[1]))
        assert on_disk == set(keep_for_export(record, KEEP))
        assert standings.ended == sum(t.state != "unfinished" for t in record.trials)
    again = Standings.of(record, KEEP) if order else standings
    assert (again.leader, again.ended, again._best) == (
        standings.leader,
        standings.ended,
        standings._best,
    )

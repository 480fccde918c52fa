"""The winner is confirmed on fresh seeds, within its time, and never twice."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlsearch.config.load import parse
from tlsearch.config.trial_config import TrialConfig
from tlsearch.results.rank.confirmation import (
    SHARE,
    Run,
    confirmed,
    runs_of,
    search_budget,
    winner,
)
from tlsearch.results.record.journal import StudyRecord, TrialRecord, read
from tlsearch.search.propose.optuna_space import replica_seed
from tlsearch.search.winner.confirm import (
    SEEDS,
    PlannedRun,
    allowance,
    fresh_seeds,
    gone,
    jobs,
    owed,
    refinement,
    within,
)

CONFIG = parse("data: {kind: digits}\nspace: {backbone: strokes}\nepochs: 9\nconfirm: 2")


def trial(number, value, epochs=9, seconds=10.0, **changes):
    plain = {"backbone": "strokes", "head_lr": 1e-3 * (number + 1), **changes}
    values = dict.fromkeys(range(epochs + 1), value)
    config = TrialConfig(**plain).to_json()
    return TrialRecord(number, "finished", config, values, seconds=seconds)


def record(*trials, runs=()):
    return StudyRecord("max", trials, {"confirmation": [run.to_json() for run in runs]})


def test_the_best_are_trained_on_each_fresh_seed_seed_after_seed():
    wanted = jobs(CONFIG, record(trial(0, 0.7), trial(1, 0.9), trial(2, 0.8)))
    assert [job.number for job in wanted] == [1, 2] * SEEDS
    seeds = fresh_seeds(CONFIG.seed)
    assert [job.trial.seed for job in wanted] == [seeds[0], seeds[0], seeds[1], seeds[1]]
    assert len({CONFIG.seed, *seeds, *(replica_seed(CONFIG.seed, n) for n in range(50))}) == 52


def test_what_was_confirmed_is_not_trained_again():
    trials = trial(0, 0.7), trial(1, 0.9)
    done = Run(1, fresh_seeds(CONFIG.seed)[0], 0.9, 3, 1.0)
    assert len(jobs(CONFIG, record(*trials, runs=(done,)))) == 2 * SEEDS - 1


def test_a_replica_is_no_second_candidate():
    twin = trial(1, 0.8, head_lr=1e-3, seed=5)
    wanted = jobs(CONFIG, record(trial(0, 0.9, head_lr=1e-3), twin, trial(2, 0.1)))
    assert [job.number for job in wanted[:2]] == [0, 2]


def test_a_trial_that_was_stopped_early_is_expected_to_take_its_whole_time():
    (job, *_) = jobs(CONFIG, record(trial(0, 0.9, epochs=4, seconds=5.0)))
    assert job.expected_s == 10.0


def test_a_trial_that_was_cut_short_is_expected_to_take_what_others_take():
    cut = replace(trial(1, 0.9, epochs=3), state="unfinished", seconds=0.0)
    (job, *_) = jobs(CONFIG, record(trial(0, 0.7, seconds=20.0), cut))
    assert (job.number, job.expected_s) == (1, 20.0)


@given(st.lists(st.floats(0.1, 100), max_size=8), st.floats(0, 500))
def test_jobs_fit_into_their_time_but_for_the_first(expected, allowed_s):
    wanted = [PlannedRun(n, TrialConfig(backbone="strokes"), s) for n, s in enumerate(expected)]
    taken = within(wanted, allowed_s)
    assert taken == wanted[: len(taken)]
    assert len(taken) >= min(1, len(wanted))
    assert len(taken) <= 1 or sum(job.expected_s for job in taken) <= allowed_s


def test_confirming_takes_a_share_of_the_search_and_stays_in_the_budget():
    trials = record(trial(0, 0.9, seconds=100.0))
    assert allowance(CONFIG, trials, 0.0, slots=2) == pytest.approx(SHARE * 100 * 2 / 3)
    budget = CONFIG.model_copy(update={"time_budget": 60.0})
    assert allowance(budget, trials, 55.0, slots=2) == pytest.approx(10)
    assert allowance(budget, trials, 70.0, slots=2) == 0


def planned(trials, runs):
    """The runs that a driver would still train."""
    known = record(*trials, runs=runs)
    allowed_s = allowance(CONFIG, known, 0.0, 1, gone(CONFIG, known))
    return within(jobs(CONFIG, known), allowed_s, at_least=owed(CONFIG, known, 0.0))


@pytest.mark.parametrize("seconds", [0.1, 20.0, 50.0, 500.0])
def test_a_driver_that_goes_on_confirms_no_more_than_one_that_was_not_killed(seconds):
    trials = trial(0, 0.7, seconds=seconds), trial(1, 0.9, seconds=20.0), trial(2, 0.8, seconds=9.0)
    whole = planned(trials, ())
    runs = [Run(job.number, job.trial.seed, 0.5, 3, 0.1) for job in whole]
    for done in range(1, len(runs) + 1):
        assert planned(trials, runs[:done]) == whole[done:]


def test_a_better_trial_of_an_extended_study_is_confirmed_once_at_least():
    trials = trial(0, 0.7, seconds=1.0), trial(1, 0.9, seconds=90.0)
    done = [Run(0, seed, 0.7, 3, 0.1) for seed in fresh_seeds(CONFIG.seed)]
    assert [job.number for job in planned(trials, done)] == [1]


def test_nothing_is_owed_once_the_time_of_the_study_is_up():
    late = CONFIG.model_copy(update={"time_budget": 60.0})
    assert owed(late, record(trial(0, 0.9)), 61.0) == 0
    assert owed(late, record(trial(0, 0.9)), 59.0) == 1


def test_a_search_with_a_budget_leaves_time_to_confirm():
    assert search_budget(130.0, 0.0, confirms=True) == pytest.approx(100)
    assert search_budget(130.0, 0.0, confirms=False) == 130
    assert search_budget(100.0, 120.0, confirms=True) == 120
    assert search_budget(None, 3.0, confirms=True) is None


def test_a_refinement_sees_a_new_view_every_epoch_at_a_lower_rate():
    unfrozen = TrialConfig(backbone="strokes", unfrozen_layers=5, fine_tune_lr=1e-3, epochs=9)
    refined = refinement(unfrozen, 11)
    assert (refined.seed, refined.epochs, refined.fine_tune_lr) == (11, 4, pytest.approx(1e-4))
    assert [refined.view(epoch) for epoch in (1, 2, 3)] == [1, 2, 3]
    assert refined.view_seed not in (unfrozen.view_seed, unfrozen.seed)


SPACE = """
data: {kind: digits, image_px: 32, splits: {train: 60, validation: 70, test: 80}}
space: {backbone: strokes, unfrozen_layers: [0, 15], fine_tune_lr: 1e-3}
epochs: 2
trials: 3
confirm: 1
"""


@pytest.mark.cluster
def test_a_search_confirms_refines_and_exports_its_winner_once(tmp_path, monkeypatch):
    from tlsearch.search.study import resume, run
    from tlsearch.search.winner import confirm

    monkeypatch.setattr(confirm, "SHARE", 100.0)
    config = parse(SPACE).model_copy(update={"cache": tmp_path / "cache"})
    told = []
    study = run(config, tmp_path / "study", listen=told.append)
    facts = study.record().facts
    runs = runs_of(facts)
    assert [run.refined for run in runs] == [False] * SEEDS + [True]
    (best,) = confirmed(runs, "max")
    assert winner(study.record()).trial == best.trial
    assert study.weights().name == facts["test"]["weights"]
    assert facts["test"]["low"] <= facts["test"]["value"] <= facts["test"]["high"]
    assert (facts["test"]["metric"], facts["test"]["interval"]) == ("accuracy", "Wilson")
    card = (tmp_path / "study/best/model_card.md").read_text()
    assert f"| test accuracy, evaluated once | {facts['test']['value']:.4f} |" in card
    assert (tmp_path / "study/best/model.keras").is_file()
    resume(tmp_path / "study", listen=told.append)
    assert read(study.home.journal_file).facts["confirmation"] == facts["confirmation"]
    assert sum(type(event).__name__ == "Confirming" for event in told) == 1


def test_a_stopped_search_is_not_confirmed():
    from tlsearch.search.cluster.ray_session import as_completed

    ended = SimpleNamespace(cpus_per_trial=1, gpus_per_trial=0)
    assert list(as_completed(print, [], ended, 1, lambda: True)) == []

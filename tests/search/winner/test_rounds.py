"""The runs that confirm a search: whole rounds of its best trials in time, and a refinement."""

from dataclasses import replace

import pytest
from ended_trials import CONFIG, record, trial
from hypothesis import given
from hypothesis import strategies as st

from tlsearch.config.trial_config import TrialConfig
from tlsearch.results.rank.confirmation import Run, trials_budget_s
from tlsearch.search.propose.optuna_space import replica_seed
from tlsearch.search.winner.rounds import (
    PlannedRun,
    affordable_runs,
    due_runs,
    fresh_seeds,
    online_epoch_s,
    refinement,
    rounds,
)


def test_a_round_is_one_fresh_seed_for_each_of_the_best():
    found = rounds(CONFIG, record(trial(0, 0.7), trial(1, 0.9), trial(2, 0.8)))
    seeds = fresh_seeds(CONFIG.seed)
    assert [[(run.number, run.trial.seed) for run in one] for one in found] == [
        [(1, seed), (2, seed)] for seed in seeds
    ]
    assert len({CONFIG.seed, *seeds, *(replica_seed(CONFIG.seed, n) for n in range(50))}) == 52


def test_what_was_confirmed_is_not_trained_again():
    trials = trial(0, 0.7), trial(1, 0.9)
    done = Run(1, fresh_seeds(CONFIG.seed)[0], 0.9, 3, 1.0)
    assert [len(one) for one in rounds(CONFIG, record(*trials, runs=(done,)))] == [1, 2]


def test_a_replica_is_no_second_candidate():
    twin = trial(1, 0.8, head_lr=1e-3, seed=5)
    first, _ = rounds(CONFIG, record(trial(0, 0.9, head_lr=1e-3), twin, trial(2, 0.1)))
    assert [run.number for run in first] == [0, 2]


def test_a_trial_that_was_stopped_early_is_expected_to_take_its_whole_time():
    (run, *_), _ = rounds(CONFIG, record(trial(0, 0.9, epochs=4, seconds=5.0)))
    assert run.expected_s == 10.0


def test_a_trial_that_was_cut_short_is_expected_to_take_what_others_take():
    cut = replace(trial(1, 0.9, epochs=3), state="unfinished", seconds=0.0)
    (run, *_), _ = rounds(CONFIG, record(trial(0, 0.7, seconds=20.0), cut))
    assert (run.number, run.expected_s) == (1, 20.0)


@given(st.lists(st.floats(0.1, 100), max_size=8), st.floats(0, 500), st.integers(0, 1))
def test_runs_fit_into_their_time_but_for_those_that_must_be(expected, allowed_s, at_least):
    wanted = [PlannedRun(n, TrialConfig(backbone="strokes"), s) for n, s in enumerate(expected)]
    taken = affordable_runs(wanted, allowed_s, at_least)
    assert taken == wanted[: len(taken)]
    assert len(taken) >= min(at_least, len(wanted))
    assert len(taken) <= at_least or sum(run.expected_s for run in taken) <= allowed_s


def planned(trials, runs=(), config=CONFIG, spent_s=0.0):
    """Return the (trial, seed) runs that a driver would still train, in order."""
    found = due_runs(config, record(*trials, runs=runs), spent_s, slots=1)
    return [(run.number, run.trial.seed) for run in found]


FIRST, SECOND = fresh_seeds(CONFIG.seed)


def test_the_first_round_over_the_best_is_due_whatever_it_takes():
    slow = trial(0, 0.9, seconds=500.0), trial(1, 0.8, seconds=900.0), trial(2, 0.7, seconds=1.0)
    assert planned(slow) == [(0, FIRST), (1, FIRST)]


def test_another_round_is_due_whole_where_it_fits_into_its_share():
    best = trial(0, 0.9, seconds=10.0), trial(1, 0.8, seconds=10.0)
    others = tuple(trial(n, 0.1, seconds=10.0) for n in range(2, 30))
    assert planned(best + others[:16]) == [(0, FIRST), (1, FIRST)]  # 20 % of 180 s is below 40 s
    assert planned(best + others[:18]) == [(0, s) for s in (FIRST,)] + [
        (1, FIRST),
        (0, SECOND),
        (1, SECOND),
    ]


@pytest.mark.parametrize("seconds", [0.1, 20.0, 50.0, 500.0])
def test_a_driver_that_goes_on_confirms_no_more_than_one_that_was_not_killed(seconds):
    trials = trial(0, 0.7, seconds=seconds), trial(1, 0.9, seconds=2.0), trial(2, 0.8, seconds=1.0)
    whole = planned(trials)
    assert len(whole) == (4 if seconds > 20 else 2)
    runs = [Run(number, seed, 0.5, 3, 0.1) for number, seed in whole]
    for done in range(1, len(runs) + 1):
        assert planned(trials, runs[:done]) == whole[done:]


def test_a_better_trial_of_an_extended_study_is_confirmed():
    trials = trial(0, 0.7, seconds=1.0), trial(1, 0.9, seconds=90.0)
    done = [Run(0, seed, 0.7, 3, 0.1) for seed in (FIRST, SECOND)]
    assert planned(trials, done) == [(1, FIRST)]


def test_a_time_budget_cuts_the_first_round_to_its_best_candidates():
    trials = trial(0, 0.9, seconds=10.0), trial(1, 0.8, seconds=10.0)
    timed = CONFIG.model_copy(update={"time_budget": 60.0})
    assert planned(trials, config=timed, spent_s=20.0) == [(0, FIRST), (1, FIRST)]
    assert planned(trials, config=timed, spent_s=45.0) == [(0, FIRST)]
    assert planned(trials, config=timed, spent_s=59.0) == [(0, FIRST)]
    assert planned(trials, config=timed, spent_s=61.0) == []


def test_a_search_with_a_budget_leaves_time_to_confirm():
    assert trials_budget_s(130.0, 0.0, confirms=True) == pytest.approx(100)
    assert trials_budget_s(130.0, 0.0, confirms=False) == 130
    assert trials_budget_s(100.0, 120.0, confirms=True) == 120
    assert trials_budget_s(None, 3.0, confirms=True) is None


def test_a_refinement_sees_a_new_view_every_epoch_at_a_lower_rate():
    flipped = {"augment": {"flip": "horizontal"}, "views": 8}
    unfrozen = TrialConfig(
        backbone="strokes", unfrozen_layers=5, fine_tune_lr=1e-3, epochs=9, **flipped
    )
    refined = refinement(unfrozen, 11, most_epochs=100)
    assert (refined.seed, refined.epochs, refined.fine_tune_lr) == (11, 4, pytest.approx(1e-4))
    assert [refined.view(epoch) for epoch in (1, 2, 3)] == [1, 2, 3]
    assert refined.view_seed not in (unfrozen.view_seed, unfrozen.seed)
    assert refined.augment == unfrozen.augment  # no augmentation that was not requested
    assert refinement(unfrozen, 11, most_epochs=2).epochs == 2


def test_an_epoch_on_new_views_is_expected_to_take_its_own_time_and_a_pass():
    work = {"done": 4e9, "least": 1e9, "prefix": "x", "prefix_pass": 1e9}
    fast, slow = trial(0, 0.9, seconds=10.0), trial(1, 0.8, seconds=20.0)
    known = record(replace(fast, work=work), replace(slow, work=work))
    # 80 of the 100 images of a pass are trained on; a trial reached 4e8 multiply-adds per second
    assert online_epoch_s(known, known.trials[1], 80, 20) == pytest.approx(2.0 + 0.8 * 2.5)
    assert online_epoch_s(record(fast), fast, 80, 20) == pytest.approx(1.0)

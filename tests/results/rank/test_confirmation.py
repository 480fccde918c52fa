"""Laws of the confirmation: means of fresh seeds decide, never the value that chose a trial."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlsearch.results.rank.confirmation import (
    Run,
    Winner,
    chosen,
    confirmed,
    lines,
    runs_of,
    winner,
)
from tlsearch.results.record.journal import StudyRecord, TrialRecord

RUNS = (
    Run(1, 7, 0.90, 3, 1.0),
    Run(2, 7, 0.94, 2, 1.0),
    Run(1, 8, 0.92, 4, 1.0),
    Run(2, 8, 0.80, 1, 1.0),
)


def record(runs: tuple[Run, ...], direction: Any = "max") -> StudyRecord:
    trials = tuple(
        TrialRecord(number, "finished", {}, {1: value})
        for number, value in enumerate((0.5, 0.9, 0.95))
    )
    return StudyRecord(direction, trials, {"confirmation": [run.to_json() for run in runs]})


def test_the_best_mean_wins_not_the_best_run() -> None:
    order = confirmed(RUNS, "max")
    assert [one.trial for one in order] == [1, 2]
    assert order[0].mean == pytest.approx(0.91)
    assert order[0].error == pytest.approx(0.01)
    best = chosen(RUNS, "max")
    assert best == RUNS[2]


def test_less_is_better_where_the_metric_is_a_loss() -> None:
    best = chosen(RUNS, "min")
    assert best == RUNS[3]


def test_a_trial_with_fewer_seeds_is_not_preferred() -> None:
    runs = (*RUNS, Run(0, 7, 0.99, 1, 1.0))
    assert confirmed(runs, "max")[-1].trial == 0
    assert confirmed(runs, "max")[-1].error is None


@pytest.mark.parametrize(("value", "kept"), [(0.93, True), (0.92, False), (0.91, False)])
def test_a_refinement_is_exported_only_where_it_is_better(value: float, kept: bool) -> None:
    refined = Run(1, 8, value, 1, 1.0, refined=True)
    runs = (*RUNS, refined)
    assert (chosen(runs, "max") == refined) is kept
    assert confirmed(runs, "max") == confirmed(RUNS, "max")
    told = lines(record(runs))[-1]
    assert ("not kept" in told) is not kept


@given(st.permutations(RUNS))
def test_the_order_in_which_runs_end_is_nothing(runs: list[Run]) -> None:
    assert chosen(runs, "max") == chosen(RUNS, "max")


def test_the_winner_is_the_confirmed_one_else_the_best_trial() -> None:
    assert winner(record(RUNS)) == Winner(1, "confirmed-8.npz")
    assert winner(record(())) == Winner(2, "best.npz")
    assert winner(StudyRecord("max", (), {})) is None


def test_the_report_shows_the_search_beside_the_confirmation() -> None:
    assert lines(record(RUNS)) == [
        "trial 1 confirmed: 0.9100 ± 0.0100 on 2 fresh seeds (the search saw 0.9000)",
        "trial 2 confirmed: 0.8700 ± 0.0700 on 2 fresh seeds (the search saw 0.9500)",
    ]
    assert lines(record(())) == []


def test_a_run_that_diverged_is_known_and_counts_for_nothing() -> None:
    runs = (*RUNS, Run(1, 9, None, 0, 1.0), Run(1, 8, None, 0, 1.0, refined=True))
    assert confirmed(runs, "max") == confirmed(RUNS, "max")
    assert chosen(runs, "max") == RUNS[2]
    assert lines(record(runs))[-1].endswith("no value, not better, not kept")


def test_runs_are_read_back_as_they_were_noted() -> None:
    assert runs_of(record(RUNS).facts) == RUNS

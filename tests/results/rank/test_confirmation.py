"""Laws of the confirmation: means over fresh seeds decide, never the value that chose a trial."""

from dataclasses import replace
from statistics import NormalDist

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlsearch.config.catalog import Direction
from tlsearch.results.rank.confirmation import (
    NOT_REFINED,
    Confirmed,
    Run,
    Winner,
    confirmation_lines,
    confirmed_candidates,
    decided_winner,
    probability_better,
    run_to_export,
    runs_of,
    winner,
)
from tlsearch.results.rank.confirmation import RUNS as RUNS_FACT
from tlsearch.results.record.journal import EXPORTED, StudyRecord, TrialRecord
from tlsearch.results.record.notes import require_fact

RUNS = (
    Run(1, 7, 0.90, 3, 1.0),
    Run(2, 7, 0.94, 2, 1.0),
    Run(1, 8, 0.92, 4, 1.0),
    Run(2, 8, 0.80, 1, 1.0),
)


def record(runs: tuple[Run, ...], direction: Direction = Direction.MAX) -> StudyRecord:
    trials = tuple(
        TrialRecord(number, "finished", {}, {1: value})
        for number, value in enumerate((0.5, 0.9, 0.95))
    )
    return StudyRecord(direction, trials, {"confirmation": [run.to_json() for run in runs]})


def test_the_best_mean_wins_not_the_best_run() -> None:
    order = confirmed_candidates(RUNS, Direction.MAX)
    assert [one.trial for one in order] == [1, 2]
    assert order[0].mean == pytest.approx(0.91)
    assert order[0].error == pytest.approx(0.01)
    best = run_to_export(RUNS, Direction.MAX)
    assert best == RUNS[2]


def test_less_is_better_where_the_metric_is_a_loss() -> None:
    best = run_to_export(RUNS, Direction.MIN)
    assert best == RUNS[3]


def test_trials_are_ranked_on_the_seeds_that_all_of_them_share() -> None:
    runs = (Run(0, 7, 0.80, 1, 1.0), Run(0, 8, 0.99, 1, 1.0), Run(1, 7, 0.95, 1, 1.0))
    order = confirmed_candidates((*runs, Run(2, 7, 0.94, 1, 1.0)), Direction.MAX)
    assert [(one.trial, one.mean) for one in order] == [(1, 0.95), (2, 0.94), (0, 0.80)]
    assert {one.error for one in order} == {None}


def test_a_trial_that_diverged_on_a_shared_seed_comes_after_those_that_did_not() -> None:
    runs = (*RUNS[:2], Run(1, 8, None, 0, 1.0), RUNS[3])
    first, second = confirmed_candidates(runs, Direction.MAX)
    assert (first.trial, second.trial) == (2, 1)
    assert confirmation_lines(record(runs))[1] == (
        "trial 1 confirmed: 0.9000 with 2 fresh seeds (0.9000 in the search); diverged on 1 of them"
    )
    everywhere = (Run(1, 7, None, 0, 1.0), Run(2, 7, 0.1, 1, 1.0))
    assert [one.trial for one in confirmed_candidates(everywhere, Direction.MAX)] == [2]


def candidates(*means: float, seeds: int = 1) -> list[Confirmed]:
    runs = (Run(n, s, mean, 1, 1.0) for n, mean in enumerate(means) for s in range(seeds))
    return confirmed_candidates(runs, Direction.MAX)


def test_how_sure_the_choice_is_grows_with_the_lead_and_with_the_images() -> None:
    assert probability_better(candidates(0.9), 100) is None
    assert (
        probability_better(candidates(0.9, 0.8), None) is None
    )  # one seed, and the metric is no share of images
    assert probability_better(candidates(0.9, 0.9), 100) == pytest.approx(0.5)
    leads = [probability_better(candidates(0.8 + lead, 0.8), 100) for lead in (0.0, 0.02, 0.1)]
    assert leads == sorted(leads)
    assert probability_better(candidates(0.82, 0.8), 10_000) > leads[1]


@given(st.integers(0, 60), st.integers(0, 60))
def test_the_certainty_of_one_seed_is_that_of_a_test_of_two_proportions(a: int, b: int) -> None:
    (first, second), images = sorted((a, b), reverse=True), 60
    found = probability_better(candidates(first / images, second / images), images)
    variance = sum(x * (images - x) for x in (a, b)) / images**3
    if variance == 0:
        assert found is None
    else:
        expected = NormalDist().cdf((first - second) / images / variance**0.5)
        assert found == pytest.approx(expected)


def test_seeds_that_scatter_make_a_choice_less_sure() -> None:
    calm = (Run(0, 1, 0.9, 1, 1.0), Run(0, 2, 0.91, 1, 1.0), Run(1, 1, 0.85, 1, 1.0))
    calm = (*calm, Run(1, 2, 0.86, 1, 1.0))
    wild = (Run(0, 1, 0.8, 1, 1.0), Run(0, 2, 1.0, 1, 1.0), Run(1, 1, 0.75, 1, 1.0))
    wild = (*wild, Run(1, 2, 0.96, 1, 1.0))
    assert probability_better(confirmed_candidates(calm, Direction.MAX), None) > probability_better(
        confirmed_candidates(wild, Direction.MAX), None
    )


@pytest.mark.parametrize(("value", "kept"), [(0.93, True), (0.92, False), (0.91, False)])
def test_a_refinement_is_exported_only_where_it_is_better(value: float, kept: bool) -> None:
    refined = Run(1, 8, value, 1, 1.0, refined=True)
    runs = (*RUNS, refined)
    assert (run_to_export(runs, Direction.MAX) == refined) is kept
    assert confirmed_candidates(runs, Direction.MAX) == confirmed_candidates(RUNS, Direction.MAX)
    lines = confirmation_lines(record(runs))[-1]
    assert ("not kept" in lines) is not kept


@given(st.permutations(RUNS))
def test_the_order_in_which_runs_end_is_nothing(runs: list[Run]) -> None:
    assert run_to_export(runs, Direction.MAX) == run_to_export(RUNS, Direction.MAX)


def test_the_winner_is_the_confirmed_one_else_the_best_trial() -> None:
    assert winner(record(RUNS)) == Winner(1, "confirmed-8.npz")
    assert winner(record(())) == Winner(2, "best.npz")
    assert winner(StudyRecord(Direction.MAX, (), {})) is None


def test_the_report_shows_the_search_beside_the_confirmation() -> None:
    assert confirmation_lines(record(RUNS)) == [
        "trial 1 confirmed: mean 0.9100 ± 0.0100 over 2 fresh seeds (0.9000 in the search)",
        "trial 2 confirmed: mean 0.8700 ± 0.0700 over 2 fresh seeds (0.9500 in the search)",
        "trial 1 is chosen: 0.0400 ahead of trial 2 on the same 2 fresh seeds; it is the better "
        "one with a probability of 71%",
    ]
    assert confirmation_lines(record(RUNS[:1])) == [
        "trial 1 confirmed: 0.9000 with 1 fresh seed (0.9000 in the search)"
    ]
    assert confirmation_lines(record(())) == []


def test_a_refinement_that_diverged_is_known_and_counts_for_nothing() -> None:
    runs = (*RUNS, Run(1, 8, None, 0, 1.0, refined=True))
    assert confirmed_candidates(runs, Direction.MAX) == confirmed_candidates(RUNS, Direction.MAX)
    assert run_to_export(runs, Direction.MAX) == RUNS[2]
    assert confirmation_lines(record(runs))[-1].endswith("no value, not better, not kept")


def test_why_a_winner_was_not_refined_is_told() -> None:
    known = record(RUNS)
    lines = confirmation_lines(
        replace(known, facts={**known.facts, NOT_REFINED: "one epoch takes 9 s"})
    )
    assert lines[-1] == "not refined: one epoch takes 9 s"


@pytest.mark.parametrize("fact", [RUNS_FACT, EXPORTED, "test"])
def test_a_winner_is_decided_once_it_is_confirmed_tested_or_exported(fact: str) -> None:
    known = record(RUNS)
    assert decided_winner(replace(known, facts={})) is None
    assert decided_winner(replace(known, facts={fact: known.facts["confirmation"]})) is not None


def test_runs_are_read_back_as_they_were_noted() -> None:
    assert runs_of(record(RUNS).facts) == RUNS


def test_the_journal_knows_every_field_of_a_run():
    run = Run(0, 7, 0.5, 3, 1.5, refined=True, sha256="ab").to_json()
    require_fact(RUNS_FACT, [run], trials=1)
    with pytest.raises(ValueError):
        require_fact(RUNS_FACT, [run | {"another": 1}], trials=1)

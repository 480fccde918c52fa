"""The verdict: which trial won, how surely, and whether the test score can be trusted."""

import random
from typing import Any

import pytest

from tlsearch.config.catalog import Direction
from tlsearch.results.rank.context import RankingContext
from tlsearch.results.rank.leaderboard import Leaderboard, rows
from tlsearch.results.record.journal import StudyRecord, TrialRecord
from tlsearch.results.report.verdict import Verdict, last_test, verdict

RUNS = [
    {"trial": 0, "seed": 7, "value": 0.86, "epoch": 3, "seconds": 1.0},
    {"trial": 1, "seed": 7, "value": 0.84, "epoch": 3, "seconds": 1.0},
    {"trial": 0, "seed": 8, "value": 0.88, "epoch": 3, "seconds": 1.0},
    {"trial": 1, "seed": 8, "value": 0.83, "epoch": 3, "seconds": 1.0},
]
REFINED = {"trial": 0, "seed": 8, "value": 0.87, "epoch": 1, "seconds": 1.0, "refined": True}
TEST = {"trial": 0, "value": 0.86, "images": 200}


def about(metric: str = "accuracy", validation: int = 400) -> dict[str, Any]:
    images = {"train": 800, "validation": validation, "test": 200}
    return {"config": {"name": "pets", "metric": metric}, "data": {"images": images}}


def verdict_of(facts: dict[str, Any], *values: float, metric: str = "accuracy") -> Verdict:
    """Return the verdict on a study whose trials reached these values."""
    trials = tuple(
        TrialRecord(n, "finished", {"backbone": "photos"}, {1: value})
        for n, value in enumerate(values or (0.875, 0.87, 0.7))
    )
    record = StudyRecord(Direction.MIN if metric == "loss" else Direction.MAX, trials, facts)
    context = RankingContext(400 if metric == "accuracy" else None)
    return verdict(Leaderboard(record, about(metric), context, rows(record, context)))


def test_a_confirmed_winner_is_told_with_its_mean_its_lead_and_what_was_not_kept() -> None:
    found = verdict_of(
        {"confirmation": [*RUNS, REFINED], "test": TEST, "baselines": {"pixels": 0.5}}
    )
    assert found.lines[0] == (
        "trial 0 wins (photos): validation accuracy 0.8750 (95 %: 0.8390 to 0.9039) on 400 "
        "pictures in the search, place 1 of 3, 0.0050 ahead of trial 1"
    )
    for line in (
        "trial 0 confirmed: mean 0.8700 ± 0.0100 over 2 fresh seeds (0.8750 in the search)",
        "refined with online augmentation: 0.8700, not better, not kept",
        "tied with it on the 400 validation pictures: trial 1",
        "test accuracy of trial 0, evaluated once: 0.8600 (95 %: 0.8051 to 0.9013, Wilson) on 200 "
        "pictures that no trial has seen",
        "test and validation differ by 0.0100, which chance alone can explain on 400 and 200 "
        "pictures",
        "trial 0 is 0.3750 better than the best baseline, pixels (0.5000)",
    ):
        assert line in found.lines
    assert any("0.0350 ahead of trial 1 on the same 2 fresh seeds" in line for line in found.lines)
    assert found.warnings == ()


def test_a_winner_that_is_not_the_first_of_the_search_is_placed_behind_it() -> None:
    found = verdict_of({"confirmation": RUNS}, 0.87, 0.875, 0.7)
    assert "place 2 of 3, 0.0050 behind trial 1" in found.lines[0]
    assert "tied with trial 1, the first of the search on the 400" in " ".join(found.lines)


@pytest.mark.parametrize(
    ("proposed", "message"),
    [
        (
            {0, 2},
            "the prior proposed 2 of 3 trials; its best is trial 2 (0.8800); the best of the "
            "others is trial 1 (0.8700)",
        ),
        ({0, 1, 2}, "the prior proposed 3 of 3 trials; its best is trial 2 (0.8800)"),
    ],
)
def test_the_trials_of_the_prior_are_compared_with_the_others(
    proposed: set[int], message: str
) -> None:
    trials = tuple(
        TrialRecord(n, "finished", {"backbone": "photos"}, {1: value}, by_prior=n in proposed)
        for n, value in enumerate((0.86, 0.87, 0.88))
    )
    record, context = StudyRecord(Direction.MAX, trials), RankingContext(400)
    board = Leaderboard(record, about(), context, rows(record, context))
    assert message in verdict(board).lines
    assert not any("prior" in line for line in verdict_of({}).lines)


def test_luck_is_named_where_nothing_was_confirmed() -> None:
    assert verdict_of({}).lines[0].startswith("trial 0 leads so far (photos)")
    assert (
        "the winner was not trained again on fresh seeds: part of the lead of the best trial is "
        "luck; confirm: 1 or more trains it again if time allows"
    ) in verdict_of({"test": TEST}).lines


def test_a_test_score_far_below_validation_is_warned_of() -> None:
    """A test score of 0.6825 against 0.8750 once passed without a warning."""
    found = verdict_of({"test": {"trial": 0, "value": 0.6825, "images": 200}})
    assert found.warnings[0].startswith(
        "the test score lies 0.1925 below validation (0.8750), more than chance alone can explain "
        "on 400 and 200 pictures: expect the test score on new pictures; check whether "
    )
    assert "warning: the test score lies" in "\n".join(found.text())


def test_a_warning_is_rare_where_test_and_validation_are_alike() -> None:
    random.seed(0)

    def measured(images: int) -> float:
        return sum(random.random() < 0.85 for _ in range(images)) / images

    warned = 0
    for _ in range(400):
        found = verdict_of(
            {"test": {"trial": 0, "value": measured(200), "images": 200}}, measured(400)
        )
        warned += any("lies" in line for line in found.warnings)
    assert 1 <= warned <= 22  # one tail of a 95 % interval: 10 of 400


@pytest.mark.parametrize(("value", "warns"), [(0.5, False), (0.62, False), (0.9, True)])
def test_a_loss_is_compared_upwards(value: float, warns: bool) -> None:
    test = {"trial": 0, "value": value, "low": value - 0.1, "high": value + 0.1, "images": 200}
    found = verdict_of({"test": {**test, "metric": "loss"}}, 0.5, metric="loss")
    assert [line.startswith("the test score lies 0.4000 above") for line in found.warnings] == (
        [True] if warns else []
    )


def test_what_makes_a_test_score_weak_is_said() -> None:
    tests = [{"trial": n, "value": 0.85, "images": 20} for n in range(2)]
    found = verdict_of({"test": tests[0], "tests": tests, "baselines": {"pixels": 0.9}})
    assert [line.split(":")[0] for line in found.warnings] == [
        "the interval of the test score is 0.31 wide, since the test split has only 20 pictures",
        "the test split was evaluated for 2 winners",
        "trial 0 is 0.0250 worse than the best baseline, pixels (0.9000)",
    ]


def test_a_test_score_says_how_its_interval_was_made() -> None:
    full = {**TEST, "metric": "macro_f1", "low": 0.8, "high": 0.9, "interval": "bootstrap"}
    line = next(
        x for x in verdict_of({"test": {**full, "rounds": 1000}}).lines if x.startswith("test ")
    )
    assert "evaluated once: 0.8600 (95 %: 0.8000 to 0.9000, bootstrap of 1000 rounds) on" in line


def test_a_test_score_of_an_earlier_journal_has_the_metric_of_its_study() -> None:
    old = {"trial": 2, "value": 0.8, "low": 0.7, "high": 0.9, "images": 40}
    assert last_test(StudyRecord(Direction.MAX, (), {"test": old}), about()) == {
        "metric": "accuracy",
        **old,
    }
    assert last_test(StudyRecord(Direction.MAX, ()), about()) is None


def test_nothing_is_said_before_the_first_value() -> None:
    context = RankingContext()
    assert verdict(Leaderboard(StudyRecord(Direction.MAX, ()), about(), context, [])) == Verdict()


def test_a_search_that_a_perfect_score_ended_says_so_and_foresees_nothing() -> None:
    trials = tuple(
        TrialRecord(n, "finished", {"backbone": "photos"}, {1: value})
        for n, value in enumerate((0.9, 1.0))
    )
    record, context = StudyRecord(Direction.MAX, trials, {}), RankingContext(400)
    asked = about()
    asked["config"]["trials"] = 20
    found = verdict(Leaderboard(record, asked, context, rows(record, context)))
    assert found.lines[-1] == (
        "the search ended after 2 of 20 trials: trial 1 reached a validation accuracy of 1.0000, "
        "which no trial can exceed; `tlsearch resume DIR --trials +N` trains more all the same"
    )
    assert found.more == ()
    asked["config"]["trials"] = 2
    assert "the search ended" not in " ".join(
        verdict(Leaderboard(record, asked, context, rows(record, context))).lines
    )

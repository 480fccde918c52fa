"""Whether more trials would help: the best score over time, and the gain from more trials."""

import random
from datetime import UTC, datetime, timedelta
from itertools import permutations
from statistics import mean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tlsearch.config.catalog import Direction
from tlsearch.results.rank.outlook import ended_in_order, expected_gain, outlook
from tlsearch.results.record.journal import StudyRecord, TrialRecord

BEGUN = datetime(2026, 1, 1, tzinfo=UTC)


def study(values: list[float | None], direction: Direction = Direction.MAX) -> StudyRecord:
    every = tuple(
        TrialRecord(n, "finished" if value is not None else "failed", {}, {1: value or 0.0})
        for n, value in enumerate(values)
    )
    return StudyRecord(direction, every)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=6), st.data())
@settings(max_examples=40, deadline=None)
def test_the_gain_is_the_mean_over_all_orders(values: list[float], data: st.DataObject) -> None:
    more = data.draw(st.integers(1, len(values) - 1))
    orders = [max(order) - max(order[:-more]) for order in permutations(values)]
    assert expected_gain(values, more, Direction.MAX) == pytest.approx(mean(orders), abs=1e-12)
    assert expected_gain([-value for value in values], more, Direction.MIN) == pytest.approx(
        mean(orders), abs=1e-12
    )


@pytest.mark.parametrize("draw", [random.random, lambda: random.gauss(0, 1)])
def test_more_trials_add_no_more_than_is_said(draw: object) -> None:
    """The bound holds on average over studies of independent trials of any distribution."""
    random.seed(0)
    printed, added = [], []
    for _ in range(3000):
        values = [draw() for _ in range(30)]  # type: ignore[operator]
        printed.append(expected_gain(values[:20], 10, Direction.MAX))
        added.append(max(values) - max(values[:20]))
    assert mean(printed) > mean(added)
    assert mean(printed) < 3 * mean(added)


def test_a_study_that_rises_may_gain_and_one_that_stands_does_not() -> None:
    rising = outlook(study([0.5 + 0.02 * n for n in range(20)]), 1000)[-1]
    standing = outlook(study([0.9] * 10 + [0.8] * 10), 1000)[-1]
    assert rising.startswith("10 more trials like these may help")
    assert standing.startswith("10 more trials like these would hardly help")
    assert rising.endswith(
        ": the best score is expected to improve by at most about 0.2000, which is what the last "
        "10 of these 20 trials added; that is more than the standard error of a score on 1000 "
        "pictures (0.0101)"
    )
    assert standing.endswith(
        ": the best score is expected to improve by at most about 0.0000, which is the mean gain "
        "of the last 10 trials over all orders of these 20; that is less than the standard error "
        "of a score on 1000 pictures (0.0093)"
    )
    assert "3 trials are too few to tell" in outlook(study([0.1, 0.2, 0.3]), 1000)[-1]
    assert outlook(study([None]), 100) == outlook(study([]), None) == []


@pytest.mark.parametrize(
    ("values", "later"),
    [
        ([0.5, 0.7], "no trial ended later"),
        ([0.5, 0.7, 0.6], "the trial that ended later did not improve it"),
        ([0.5, 0.7, 0.6, None], "the 2 trials that ended later did not improve it"),
    ],
)
def test_the_trial_of_the_last_rise_is_named(values: list[float | None], later: str) -> None:
    assert outlook(study(values), None)[0] == (
        f"trial 1 reached the best score of the search, 0.7000, after 0 of 0 s; {later}"
    )


def test_time_in_which_nothing_trained_does_not_count() -> None:
    spans = [(0, 10), (5, 20), (100, 110)]  # an interruption from 20 s to 100 s
    every = tuple(
        TrialRecord(
            n,
            "finished",
            {},
            {1: 0.5 + n},
            started=BEGUN + timedelta(seconds=start),
            ended=BEGUN + timedelta(seconds=end),
        )
        for n, (start, end) in enumerate(spans)
    )
    assert [step.seconds for step in ended_in_order(StudyRecord(Direction.MAX, every))] == [
        10,
        20,
        30,
    ]
    assert [step.best for step in ended_in_order(StudyRecord(Direction.MIN, every))] == [
        0.5,
        0.5,
        0.5,
    ]

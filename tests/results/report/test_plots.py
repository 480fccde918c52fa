"""The data of a page's plots: the front, the rungs, the slots."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tlsearch.config.catalog import Direction
from tlsearch.results.record.journal import StudyRecord, TrialRecord
from tlsearch.results.report.plots import learning_curves, pareto_front
from tlsearch.results.report.timeline import timeline

pairs = st.lists(
    st.tuples(st.floats(0.1, 100), st.floats(0, 1)), min_size=1, max_size=20, unique=True
)


@given(pairs, st.sampled_from(Direction))
def test_the_front_is_what_no_other_trial_beats_in_both(
    found: list[tuple[float, float]], direction: Any
) -> None:
    trials = tuple(
        TrialRecord(n, "finished", {}, {1: value}, seconds=seconds)
        for n, (seconds, value) in enumerate(found)
    )
    sign = 1 if direction == "max" else -1
    points = [(seconds, sign * value) for seconds, value in found]
    unbeaten = {
        n
        for n, (s, v) in enumerate(points)
        if not any(a <= s and b >= v and (a, b) != (s, v) for a, b in points)
    }
    front = pareto_front(trials, StudyRecord(direction, trials))
    assert {t.number for t in front} == unbeaten


def test_rungs_are_marked() -> None:
    record = StudyRecord(
        Direction.MAX, (TrialRecord(0, "finished", {}, dict.fromkeys(range(10), 0.5)),)
    )
    layout = learning_curves(record, "accuracy", {"first_rung": 2, "reduction": 2})["layout"]
    assert [shape["x0"] for shape in layout["shapes"]] == [2, 4, 8]
    assert learning_curves(record, "accuracy", {"kind": "median"})["layout"]["shapes"] == []


spans = st.lists(
    st.tuples(st.integers(0, 50), st.integers(0, 30), st.sampled_from(["", "a", "b"])), max_size=15
)


@given(spans)
def test_a_slot_trains_one_trial_at_a_time(found: list[tuple[int, int, str]]) -> None:
    begun = datetime(2026, 1, 1, tzinfo=UTC)
    trials = tuple(
        TrialRecord(
            n,
            "finished",
            {},
            {},
            worker=worker,
            started=begun + timedelta(minutes=start),
            ended=begun + timedelta(minutes=start + length),
        )
        for n, (start, length, worker) in enumerate(found)
    )
    slots: dict[str, list[tuple[float, float]]] = {}
    for trace in timeline(StudyRecord(Direction.MAX, trials))["data"]:
        for slot, base, length in zip(trace["y"], trace["base"], trace["x"], strict=True):
            slots.setdefault(slot, []).append((base, base + length))
    assert sum(map(len, slots.values())) == len(trials)
    for bars in slots.values():
        bars.sort()
        assert all(b[0] >= a[1] - 1e-6 for a, b in pairwise(bars))

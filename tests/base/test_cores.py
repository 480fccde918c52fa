"""Cores granted to a process, and work that is spread over them without running ahead."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlsearch.base.cores import AHEAD, granted_cores, in_order, one_ahead


@pytest.fixture
def eight_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulate a machine of 64 cores, 8 of which this process may use."""
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)


@pytest.mark.usefixtures("eight_allowed")
@pytest.mark.parametrize(
    ("quota", "cores"),
    [
        ({}, 8),
        ({"cpu.max": "max 100000\n"}, 8),
        ({"cpu.max": "250000 100000\n"}, 3),
        ({"cpu.max": "50000 100000\n"}, 1),
        ({"cpu.max": "9900000 100000\n"}, 8),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 8),
        ({"cpu/cpu.cfs_quota_us": "200000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 2),
        ({"cpu.max": "nonsense"}, 8),
    ],
)
def test_cores_are_those_that_the_container_grants(
    tmp_path: Path, quota: dict[str, str], cores: int
) -> None:
    for name, text in quota.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert granted_cores(tmp_path) == cores


@given(st.lists(st.integers(), max_size=40), st.integers(0, 5))
def test_results_come_in_the_order_of_the_items(items: list[int], threads: int) -> None:
    assert list(in_order(lambda item: 2 * item, items, threads)) == [2 * item for item in items]


def test_no_more_is_begun_than_keeps_the_threads_busy() -> None:
    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        for item in range(100):
            taken += 1
            yield item

    results = in_order(lambda item: item, items(), 3)
    for given_out in range(1, 50):
        next(results)
        assert taken <= given_out + AHEAD * 3
    results.close()
    assert taken < 100


def test_no_more_run_at_once_than_threads() -> None:
    lock, running, most = threading.Lock(), 0, 0

    def work(item: int) -> int:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        threading.Event().wait(0.002)
        with lock:
            running -= 1
        return item

    assert len(list(in_order(work, range(30), 3))) == 30
    assert most <= 3


def test_an_error_ends_the_work() -> None:
    def work(item: int) -> int:
        if item == 3:
            raise ValueError("3")
        return item

    with pytest.raises(ValueError, match="3"):
        list(in_order(work, range(100), 2))


def test_what_was_begun_is_finished_after_an_error_where_that_is_wanted() -> None:
    failed, done = threading.Event(), []

    def work(item: int) -> None:
        failed.wait(10)
        done.append(item)

    def items() -> Iterator[int]:
        yield from (0, 1)
        failed.set()
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        list(in_order(work, items(), 1, ahead=3, finish=True))
    assert done == [0, 1]


@given(st.integers(0, 9), st.integers(0, 1), st.integers(0, 9), st.integers(0, 9))
def test_one_ahead_is_the_loop_that_it_replaces(
    count: int, threads: int, fails_at: int, leaves_at: int
) -> None:
    """`one_ahead` yields the same results in the same order and raises the same error in the same
    place as a loop. It computes at most one result ahead and leaves no thread, however it ends.
    """
    begun, before = 0, threading.active_count()

    def work(item: int) -> int:
        nonlocal begun
        begun += 1
        if item == fails_at:
            raise LookupError(item)
        return 2 * item

    used: list[int] = []
    ends: type[Exception] | None = None
    try:
        with one_ahead(work, range(count), threads) as results:
            for result in results:
                used.append(result)
                assert begun <= len(used) + threads
                if len(used) > leaves_at:
                    raise ZeroDivisionError
    except (LookupError, ZeroDivisionError) as error:
        ends = type(error)
    assert threading.active_count() == before
    assert used == [2 * item for item in range(min(count, fails_at, leaves_at + 1))]
    left = leaves_at < min(count, fails_at)
    assert ends is (ZeroDivisionError if left else LookupError if fails_at < count else None)

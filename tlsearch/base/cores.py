"""The CPU cores that this process may use, and parallel work whose results keep their order."""

import math
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypeVar

_CGROUP = Path("/sys/fs/cgroup")
AHEAD = 4  # items submitted per thread: the running one, and those waiting or done

Item = TypeVar("Item")
Result = TypeVar("Result")


def granted_cores(cgroup: Path = _CGROUP) -> int:
    """Return how many cores this process may use, by its CPU affinity and its container's quota."""
    affinity = getattr(os, "sched_getaffinity", None)
    allowed = len(affinity(0)) if affinity else os.cpu_count() or 1
    quota = _quota(cgroup)
    return allowed if quota is None else max(1, min(allowed, math.ceil(quota)))


def in_order(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    threads: int,
    ahead: int = AHEAD,
    finish: bool = False,
) -> Generator[Result, None, None]:
    """Yield `function(item)` for each item, in the order of the items, computed by threads.

    With 0 threads, each result is computed when the caller asks for it. At most `ahead` items per
    thread are taken from `items` and not yet yielded; pass a smaller `ahead` if items are large.
    Threads help only if `function` releases the GIL, as NumPy and Pillow do. The threads end with
    the iterator. With `finish`, they first complete every submitted item, even after an error.
    """
    if not threads:
        yield from map(function, items)
        return
    with ThreadPoolExecutor(threads) as pool:
        begun: deque[Future[Result]] = deque()
        try:
            for item in items:
                begun.append(pool.submit(function, item))
                if len(begun) >= ahead * threads:
                    yield begun.popleft().result()
            while begun:
                yield begun.popleft().result()
        finally:
            for future in begun if not finish else ():
                future.cancel()


@contextmanager
def one_ahead(
    function: Callable[[Item], Result], items: Iterable[Item], threads: int
) -> Iterator[Iterator[Result]]:
    """Yield the results of `function` in order, computing the next one while the caller uses one.

    At most two results are in memory. With 0 threads, each result is computed when the caller asks
    for it. The thread ends with the block, however the block ends. `tf.data` with `prefetch(1)` of
    the same function overlaps no more, takes the same CPU seconds, and replaces every error with
    one of its own.
    """
    with closing(in_order(function, items, min(threads, 1), ahead=2)) as results:
        yield results


def _quota(cgroup: Path) -> float | None:
    """Return a container's CPU quota in cores, read from cgroup v2 or v1; None without a quota."""
    limit, period = _first(cgroup / "cpu.max", cgroup / "cpu" / "cpu.cfs_quota_us")
    if not period:
        period = _first(cgroup / "cpu" / "cpu.cfs_period_us")[0]
    if limit.isdigit() and period.isdigit() and int(limit) and int(period):
        return int(limit) / int(period)
    return None  # "max", or -1


def _first(*paths: Path) -> tuple[str, str]:
    """Return the two words of the first readable file; a missing word is an empty string."""
    for path in paths:
        try:
            limit, _, period = path.read_text().strip().partition(" ")
        except OSError:
            continue
        return limit, period
    return "", ""

"""The processor cores that this process was granted, and work in order over them."""

import math
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypeVar

_CGROUP = Path("/sys/fs/cgroup")
AHEAD = 4  # items begun for each thread: the one at work, and those that are ready or done

Item = TypeVar("Item")
Result = TypeVar("Result")


def granted_cores(cgroup: Path = _CGROUP) -> int:
    """How many cores this process may keep busy: by its affinity, and by its container's quota."""
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
    """The results of `function`, in the order of the items; `threads` of them are computed at once,
    with 0 each when it is asked for.

    Items are taken, and results held, `ahead` for each thread at most: fewer where they are large.
    For functions that release the interpreter's lock, as NumPy's and Pillow's do. The threads end
    with the iterator; with `finish` they do first what they were given, also after an error.
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
    """The results of `function` in order, the next computed while one is used: no more than two
    are in memory. With 0 threads each is computed when it is asked for.

    The thread ends with the block, whatever ends it. `tf.data` with a `prefetch(1)` of the same
    function overlaps no more, at equal CPU seconds, and turns every error into its own.
    """
    with closing(in_order(function, items, min(threads, 1), ahead=2)) as results:
        yield results


def _quota(cgroup: Path) -> float | None:
    """The cores of a container's CPU quota, of the second version of control groups or the first;
    None without a quota.
    """
    limit, period = _first(cgroup / "cpu.max", cgroup / "cpu" / "cpu.cfs_quota_us")
    if not period:
        period = _first(cgroup / "cpu" / "cpu.cfs_period_us")[0]
    if limit.isdigit() and period.isdigit() and int(limit) and int(period):
        return int(limit) / int(period)
    return None  # "max", or -1


def _first(*paths: Path) -> tuple[str, str]:
    """The two words of the first of these files that can be read; the second may be absent."""
    for path in paths:
        try:
            limit, _, period = path.read_text().strip().partition(" ")
        except OSError:
            continue
        return limit, period
    return "", ""

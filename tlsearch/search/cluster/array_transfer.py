"""Arrays on their way between nodes: features that another node has, and the driver's images."""

import functools
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tlsearch.base.array_types import AnyArray, Pixels
from tlsearch.data.sources import ImageData
from tlsearch.search.cluster.node_files import files_here, files_of
from tlsearch.search.cluster.nodes import here, nodes_up
from tlsearch.search.cluster.ray_session import joined
from tlsearch.store.arrays import ArrayStore
from tlsearch.store.caches import make_room
from tlsearch.store.shards import Block

log = logging.getLogger(__name__)

ASK_S = 10.0  # for an answer; a node that is silent is passed over
BLOCK_BYTES = 2**25  # of images on their way at a time


@dataclass(frozen=True)
class Peers:
    """The other nodes of a cluster; each keeps features in a `cache` of its own at this path."""

    cache: Path

    def __call__(self, names: Sequence[str], compute: Callable[[], Block]) -> Block:
        """The rows of these arrays from a node that has all of them, else as they are computed."""
        files_here(self.cache)  # for those that ask this node later
        holder = _holder(names)
        return compute() if holder is None else Fetched(holder, tuple(names), compute)


class Fetched:
    """Rows from another node; computed here once that fails, as where the node is gone."""

    def __init__(self, holder: Any, names: Sequence[str], compute: Callable[[], Block]) -> None:
        self._holder, self._names, self._compute = holder, names, compute
        self._computed: Block | None = None

    def __call__(self, start: int, stop: int) -> Sequence[AnyArray]:
        """One block of these rows for each array."""
        from ray.exceptions import RayError

        if self._computed is None:
            try:
                return self._asked(start, stop)
            except RayError as error:
                log.warning("features are computed, since their node does not answer: %s", error)
                self._computed = self._compute()
        return self._computed(start, stop)

    def _asked(self, start: int, stop: int) -> list[AnyArray]:
        import ray

        answer = self._holder.features.remote(self._names, start, stop)
        blocks: list[AnyArray] = ray.get(answer, timeout=ASK_S)
        return blocks


def _holder(names: Sequence[str]) -> Any | None:
    """The files of another node that has all of these features; None where there is none."""
    import ray

    for node in nodes_up():
        if node.id != here():
            try:
                files = files_of(node.id)
                if ray.get(files.holds.remote(names), timeout=ASK_S):
                    return files
            except (ValueError, ray.exceptions.RayError):  # nobody asked there, or it went
                continue
    return None


@dataclass(frozen=True)
class Delivery:
    """The way to the driver's images, a file on its node: `rows` of them, each `row_bytes` long.

    Where a node's images would exceed `budget_bytes`, those that nobody uses there go.
    """

    files: Any
    path: Path
    rows: int
    row_bytes: int
    budget_bytes: int | None = None

    def __call__(self, path: Path) -> None:
        """Have the images at this path; whoever of a node asks first writes them for all."""
        if path.is_file():
            return
        store = ArrayStore(path.parent, self.budget_bytes)

        def make() -> Iterator[Pixels]:
            make_room(store, self.rows * self.row_bytes)
            return self._blocks()

        store.open(path.stem, self.rows, make)

    def _blocks(self) -> Iterator[Pixels]:
        """The next block is on its way while one is written."""
        import ray

        step = max(1, BLOCK_BYTES // max(1, self.row_bytes))
        starts = range(0, self.rows, step)
        rows = functools.partial(self.files.rows.remote, self.path)
        coming = [rows(start, start + step) for start in starts[:2]]
        for start in starts:
            block = ray.get(coming.pop(0))
            if start + 2 * step < self.rows:
                coming.append(rows(start + 2 * step, start + 3 * step))
            yield block


def delivery(data: ImageData, cache: Path, budget_bytes: int | None = None) -> Delivery | None:
    """The way to the images on a cluster that was joined; None on a Ray of this machine alone."""
    if not joined():
        return None
    array = np.load(data.images_path, mmap_mode="r", allow_pickle=False)
    row_bytes = array.nbytes // max(1, len(array))
    return Delivery(files_here(cache), data.images_path, len(array), row_bytes, budget_bytes)

"""Decoded images for nodes that do not share the driver's cache: sent to each once, in blocks."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tlsearch.base.array_types import Pixels
from tlsearch.data.sources import ImageData
from tlsearch.search.cluster.ray_session import joined, this_node
from tlsearch.store.arrays import ArrayStore
from tlsearch.store.caches import make_room

BLOCK_BYTES = 2**25


class Desk:
    """Hands out the rows of an array that lies on the driver's node, where it runs as an actor."""

    def __init__(self, path: Path) -> None:
        self._array = np.load(path, mmap_mode="r", allow_pickle=False)

    def rows(self, start: int, stop: int) -> Pixels:
        """Some rows, in memory."""
        return np.array(self._array[start:stop])


@dataclass(frozen=True)
class Delivery:
    """The way to the driver's images: `rows` of them, each `row_bytes` long, from its desk.

    Where a node's images would exceed `budget_bytes`, those that nobody uses there go.
    """

    desk: Any
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
        coming = [self.desk.rows.remote(start, start + step) for start in starts[:2]]
        for start in starts:
            block = ray.get(coming.pop(0))
            if start + 2 * step < self.rows:
                coming.append(self.desk.rows.remote(start + 2 * step, start + 3 * step))
            yield block


def delivery(data: ImageData, budget_bytes: int | None = None) -> Delivery | None:
    """The way to the images on a cluster that was joined; None on a Ray of this machine alone."""
    import ray

    if not joined():
        return None
    array = np.load(data.images_path, mmap_mode="r", allow_pickle=False)
    desk = ray.remote(num_cpus=0, scheduling_strategy=this_node())(Desk).remote(data.images_path)
    return Delivery(desk, len(array), array.nbytes // max(1, len(array)), budget_bytes)

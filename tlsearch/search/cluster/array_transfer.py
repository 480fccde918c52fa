"""The transfer of arrays between nodes: features from any node, images from the driver's node."""

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
from tlsearch.search.cluster.nodes import nodes_up, this_node
from tlsearch.search.cluster.ray_session import has_joined
from tlsearch.store.arrays import ArrayStore
from tlsearch.store.caches import make_room
from tlsearch.store.shards import Block

log = logging.getLogger(__name__)

ASK_S = 10.0  # timeout of a request; a node that does not answer is skipped
BLOCK_BYTES = 2**25  # of images in one transferred block


@dataclass(frozen=True)
class Peers:
    """The other nodes of a cluster, each with its own feature cache at the path `cache`."""

    cache: Path

    def __call__(self, names: Sequence[str], compute: Callable[[], Block]) -> Block:
        """Return the rows of these arrays from a node that has all of them, or else from `compute`.

        `names` are the keys of the arrays in the feature store.
        """
        files_here(self.cache)  # starts this node's actor, which other nodes may ask later
        holder = _holder(names)
        return compute() if holder is None else Fetched(holder, tuple(names), compute)


class Fetched:
    """Rows from another node, or computed here once a request fails, for example if it left."""

    def __init__(self, holder: Any, names: Sequence[str], compute: Callable[[], Block]) -> None:
        self._holder, self._names, self._compute = holder, names, compute
        self._computed: Block | None = None

    def __call__(self, start: int, stop: int) -> Sequence[AnyArray]:
        """Return the rows from `start` to `stop` of each array."""
        from ray.exceptions import RayError

        if self._computed is None:
            try:
                return self._request_rows(start, stop)
            except RayError as error:
                log.warning(
                    "features are computed again because their node does not answer: %s", error
                )
                self._computed = self._compute()
        return self._computed(start, stop)

    def _request_rows(self, start: int, stop: int) -> list[AnyArray]:
        import ray

        answer = self._holder.features.remote(self._names, start, stop)
        blocks: list[AnyArray] = ray.get(answer, timeout=ASK_S)
        return blocks


def _holder(names: Sequence[str]) -> Any | None:
    """Return the file actor of another node that has all of these features, or None."""
    import ray

    for node in nodes_up():
        if node.id != this_node():
            try:
                files = files_of(node.id)
                if ray.get(files.holds.remote(names), timeout=ASK_S):
                    return files
            except (ValueError, ray.exceptions.RayError):  # it has no actor, or it left
                continue
    return None


@dataclass(frozen=True)
class Delivery:
    """Copies the driver's images, a file on its node, to the node that calls it.

    The file at `path` holds `rows` images of `row_bytes` each, and `files` is the actor that reads
    it. If the images on a node would exceed `budget_bytes`, images that no process there uses are
    evicted first.
    """

    files: Any
    path: Path
    rows: int
    row_bytes: int
    budget_bytes: int | None = None

    def __call__(self, path: Path) -> None:
        """Write the images to `path`, once per node: other processes of the node wait for them."""
        if path.is_file():
            return
        store = ArrayStore(path.parent, self.budget_bytes)

        def make() -> Iterator[Pixels]:
            make_room(store, self.rows * self.row_bytes)
            return self._blocks()

        store.open(path.stem, self.rows, make)

    def _blocks(self) -> Iterator[Pixels]:
        """Yield the images in blocks; the next block is transferred while one is written."""
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
    """Return the delivery of images on a joined cluster, or None for a local Ray."""
    if not has_joined():
        return None
    array = np.load(data.images_path, mmap_mode="r", allow_pickle=False)
    row_bytes = array.nbytes // max(1, len(array))
    return Delivery(files_here(cache), data.images_path, len(array), row_bytes, budget_bytes)

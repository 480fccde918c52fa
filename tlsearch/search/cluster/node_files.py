"""The file actor of a node: it reads and writes files of the node for other nodes."""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tlsearch.base.array_types import AnyArray
from tlsearch.base.files import atomic_file
from tlsearch.base.links import read_plain
from tlsearch.features import stored_array
from tlsearch.search.cluster.nodes import this_node
from tlsearch.search.cluster.ray_session import on_this_node

AT_A_TIME = 4  # concurrent calls: images are read while a trial's files are written


class NodeFiles:
    """The files of the node that this actor runs on; its features are under `cache`."""

    def __init__(self, cache: Path) -> None:
        self._cache = cache

    def holds(self, names: Sequence[str]) -> bool:
        """Whether this node has all of these features."""
        return all(stored_array(self._cache, name) is not None for name in names)

    def features(self, names: Sequence[str], start: int, stop: int) -> list[AnyArray]:
        """Return rows `start` to `stop` of each of these features.

        Raises LookupError if a feature is no longer here.
        """
        arrays = [stored_array(self._cache, name) for name in names]
        if any(array is None for array in arrays):
            raise LookupError(f"no longer kept: {', '.join(names)}")
        return [np.array(array[start:stop]) for array in arrays if array is not None]

    def rows(self, path: Path, start: int, stop: int) -> AnyArray:
        """Return rows `start` to `stop` of the array in a .npy file, in memory."""
        return np.array(np.load(path, mmap_mode="r", allow_pickle=False)[start:stop])

    def read(self, path: Path) -> bytes | None:
        """Return the content of a file, or None if it does not exist."""
        try:
            return read_plain(path)
        except FileNotFoundError:
            return None

    def write(self, path: Path, data: bytes) -> None:
        """Write a file atomically."""
        with atomic_file(path) as file:
            file.write(data)


def files_here(cache: Path) -> Any:
    """Return the file actor of this process's node; the first call on the node starts it."""
    return _start_actor(this_node(), cache)


@functools.lru_cache(maxsize=1)
def _start_actor(node: str, cache: Path) -> Any:
    """Cached by node, because its id changes if this process starts Ray again."""
    import ray

    kind = ray.remote(NodeFiles).options(
        name=_name(node),
        get_if_exists=True,
        num_cpus=0,
        max_concurrency=AT_A_TIME,
        max_restarts=-1,
        scheduling_strategy=on_this_node(),
    )
    return kind.remote(cache)


def files_of(node: str) -> Any:
    """Return the file actor of a node, by its id; raises ValueError if it was never started."""
    import ray

    return ray.get_actor(_name(node))


def _name(node: str) -> str:
    return f"tlsearch-files-{node}"  # each driver has a Ray namespace of its own

"""The actor of a node: it gives its files to the other nodes, and takes files from them."""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tlsearch.base.array_types import AnyArray
from tlsearch.base.files import whole_file
from tlsearch.base.links import read_plain
from tlsearch.features import stored
from tlsearch.search.cluster.nodes import here
from tlsearch.search.cluster.ray_session import this_node

AT_A_TIME = 4  # calls; rows of images are read while a trial's files are written


class NodeFiles:
    """The files of the node that this runs on as an actor; features are in its `cache`."""

    def __init__(self, cache: Path) -> None:
        self._cache = cache

    def holds(self, names: Sequence[str]) -> bool:
        """Whether all of these features are here."""
        return all(stored(self._cache, name) is not None for name in names)

    def features(self, names: Sequence[str], start: int, stop: int) -> list[AnyArray]:
        """The same rows of each of these features; LookupError where one is no longer here."""
        arrays = [stored(self._cache, name) for name in names]
        if any(array is None for array in arrays):
            raise LookupError(f"no longer kept: {', '.join(names)}")
        return [np.array(array[start:stop]) for array in arrays if array is not None]

    def rows(self, path: Path, start: int, stop: int) -> AnyArray:
        """Some rows of a file of one array, in memory."""
        return np.array(np.load(path, mmap_mode="r", allow_pickle=False)[start:stop])

    def read(self, path: Path) -> bytes | None:
        """A whole file; None where it is not there."""
        try:
            return read_plain(path)
        except FileNotFoundError:
            return None

    def write(self, path: Path, data: bytes) -> None:
        """Put a file in its place, whole."""
        with whole_file(path) as file:
            file.write(data)


def files_here(cache: Path) -> Any:
    """The actor of the node that this process runs on, started by whoever asks first."""
    return _started(here(), cache)


@functools.lru_cache(maxsize=1)
def _started(node: str, cache: Path) -> Any:
    """By node: its id is another one once Ray was started anew in this process."""
    import ray

    kind = ray.remote(NodeFiles).options(
        name=_name(node),
        get_if_exists=True,
        num_cpus=0,
        max_concurrency=AT_A_TIME,
        max_restarts=-1,
        scheduling_strategy=this_node(),
    )
    return kind.remote(cache)


def files_of(node: str) -> Any:
    """The actor of a node, by its id; ValueError where nobody has asked for it there."""
    import ray

    return ray.get_actor(_name(node))


def _name(node: str) -> str:
    return f"tlsearch-files-{node}"  # in the namespace that each driver has for itself

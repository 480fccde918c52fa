"""Features that another node of the cluster has: fetched from there instead of computed."""

import functools
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tlsearch.base.array_types import AnyArray
from tlsearch.features import stored
from tlsearch.search.cluster.nodes import here, nodes_up
from tlsearch.search.cluster.ray_session import this_node
from tlsearch.store.shards import Block

log = logging.getLogger(__name__)

ASK_S = 10.0  # for an answer; a node that is silent is passed over


class Shelf:
    """The features on one node's disk, where it runs as an actor, for the other nodes."""

    def __init__(self, cache: Path) -> None:
        self._cache = cache

    def holds(self, names: Sequence[str]) -> bool:
        """Whether all of these arrays are here."""
        return all(stored(self._cache, name) is not None for name in names)

    def rows(self, names: Sequence[str], start: int, stop: int) -> list[AnyArray]:
        """The same rows of each of these arrays; LookupError where one is no longer here."""
        arrays = [stored(self._cache, name) for name in names]
        if any(array is None for array in arrays):
            raise LookupError(f"no longer kept: {', '.join(names)}")
        return [np.array(array[start:stop]) for array in arrays if array is not None]


@dataclass(frozen=True)
class Peers:
    """The other nodes of a cluster; each keeps features in a `cache` of its own at this path."""

    cache: Path

    def __call__(self, names: Sequence[str], compute: Callable[[], Block]) -> Block:
        """The rows of these arrays from a node that has all of them, else as they are computed."""
        shelf_here(self.cache)  # for those that ask this node later
        shelf = _holder(names)
        return compute() if shelf is None else Fetched(shelf, tuple(names), compute)


class Fetched:
    """Rows from another node's shelf; computed here once that fails, as where the node is gone."""

    def __init__(self, shelf: Any, names: Sequence[str], compute: Callable[[], Block]) -> None:
        self._shelf, self._names, self._compute = shelf, names, compute
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

        answer = self._shelf.rows.remote(self._names, start, stop)
        blocks: list[AnyArray] = ray.get(answer, timeout=ASK_S)
        return blocks


@functools.lru_cache(maxsize=1)
def shelf_here(cache: Path) -> Any:
    """The shelf of the node that this process runs on, put up by whoever asks first."""
    import ray

    kind = ray.remote(Shelf).options(
        name=_name(here()),
        get_if_exists=True,
        num_cpus=0,
        scheduling_strategy=this_node(),
    )
    return kind.remote(cache)


def _holder(names: Sequence[str]) -> Any | None:
    """The shelf of another node that has all of these arrays; None where there is none."""
    import ray

    for node in nodes_up():
        if node.id != here():
            try:
                shelf = ray.get_actor(_name(node.id))
                if ray.get(shelf.holds.remote(names), timeout=ASK_S):
                    return shelf
            except (ValueError, ray.exceptions.RayError):  # it has put up none, or went
                continue
    return None


def _name(node: str) -> str:
    return f"tlsearch-shelf-{node}"  # in the namespace that each driver has for itself

"""The nodes of a cluster while a search runs: those that are up, leaving or lost."""

import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tlsearch.base.yaml_text import plain_values, read_text
from tlsearch.config.schema import Resources
from tlsearch.search.cluster.capacity import at_a_time, most_trials, trials_that_fit

log = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
BLAMED_S = 30.0  # a worker dies with its node, but Ray may notice the lost node this much later
LAUNCHED = Path("~/ray_bootstrap_config.yaml")  # Ray's cluster launcher writes it on the head


@dataclass(frozen=True, eq=False)
class Node:
    """A node that is up: its schedulable resources, and whether it is about to leave."""

    id: str
    name: str
    resources: Mapping[str, float]
    leaving: bool = False


def nodes_up() -> list[Node]:
    """Return the nodes that are up in this process's cluster, named by their addresses."""
    import ray

    leaving, alive = leaving_nodes(), [node for node in ray.nodes() if node["Alive"]]
    addresses = Counter(node["NodeManagerAddress"] for node in alive)
    return [
        Node(
            id=node["NodeID"],
            name=_name(node["NodeManagerAddress"], node["NodeID"], addresses),
            resources=node["Resources"],
            leaving=node["NodeID"] in leaving,
        )
        for node in alive
    ]


def _name(address: str, node: str, addresses: Mapping[str, int]) -> str:
    """Return the node's address, with the start of its id if several nodes share the address."""
    return address if addresses[address] == 1 else f"{address}/{node[:6]}"


def leaving_nodes() -> set[str]:
    """Return the ids of draining nodes, such as a spot instance with a termination notice."""
    from ray._private.state import state  # `ray drain-node` sets it; Ray has no public API for it

    return set(state.get_draining_nodes())


def this_node() -> str:
    """Return the id of the node that this process runs on."""
    import ray

    node: str = ray.get_runtime_context().get_node_id()
    return node


def here_is_leaving() -> bool:
    """Whether this process's node is draining; False if Ray does not run."""
    import ray

    return ray.is_initialized() and this_node() in leaving_nodes()


class Watch:
    """The nodes of a running search, polled at most once a second.

    A trial whose worker died at about the same time as a node is excused: the trial did not fail.
    """

    def __init__(
        self,
        resources: Resources,
        look: Callable[[], Sequence[Node]] = nodes_up,
        clock: Callable[[], float] = time.monotonic,
        launched: Path = LAUNCHED,
    ) -> None:
        self._resources, self._look, self._clock = resources, look, clock
        self._grown = trials_when_grown(resources, launched)
        self._nodes: dict[str, Node] = {}
        self._looked = -math.inf
        self._gone: list[float] = []

    def __getstate__(self) -> dict[str, object]:
        """Return nothing for Ray to pickle: each process has a watch of its own."""
        return {}

    def slots(self) -> int:
        """Return how many trials to run at a time on the nodes that are not leaving."""
        staying = [node.resources for node in self._refresh().values() if not node.leaving]
        return at_a_time(self._resources, trials_that_fit(self._resources, staying), self._grown)

    def excused(self, lost_at: float) -> bool:
        """Whether a worker that was lost at this time (by `clock`) was probably lost with its node.

        True if a node is leaving, or if one was lost within `BLAMED_S` of that time.
        """
        nodes = self._refresh(now=True).values()
        late = any(node.leaving for node in nodes)
        return late or any(abs(gone - lost_at) <= BLAMED_S for gone in self._gone)

    def _refresh(self, now: bool = False) -> Mapping[str, Node]:
        time_s = self._clock()
        if now or time_s - self._looked >= LOOK_EVERY_S:
            self._looked = time_s
            found = self._current_or_last_nodes()
            self._gone += [time_s] * len(self._nodes.keys() - found.keys())
            self._nodes = found
        return self._nodes

    def _current_or_last_nodes(self) -> dict[str, Node]:
        """Return the current nodes, or the last known ones if Ray fails: an error would end the
        search.
        """
        try:
            return {node.id: node for node in self._look()}
        except Exception as error:  # Ray raises many kinds
            log.warning("the cluster's nodes could not be listed: %s", error)
            return self._nodes


def trials_when_grown(resources: Resources, launched: Path = LAUNCHED) -> int:
    """Return how many trials fit once the cluster launcher's autoscaler has started all workers.

    It is 0 if Ray's cluster launcher did not start the cluster.
    """
    return most_trials(resources, _read(launched.expanduser()))


def _read(path: Path) -> Mapping[str, object]:
    """Read the launcher's configuration; it is empty if the cluster was started in another way."""
    try:
        found = plain_values(read_text(path))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}

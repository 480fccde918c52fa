"""The nodes of a cluster as they come and go: which there are, which leave, which were lost."""

import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tlsearch.base.yaml_text import plain, read_text
from tlsearch.config.schema import Resources
from tlsearch.search.cluster.capacity import at_a_time, fit, most

log = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
BLAMED_S = 30.0  # a worker dies at once with its node, whose end Ray may notice so late
LAUNCHED = Path("~/ray_bootstrap_config.yaml")  # what Ray's cluster launcher leaves on its head


@dataclass(frozen=True, eq=False)
class Node:
    """A node that is up: what Ray may schedule there, and whether it is about to be taken away."""

    id: str
    name: str
    resources: Mapping[str, float]
    leaving: bool = False


def nodes_up() -> list[Node]:
    """The nodes of the cluster that this process is connected to, named by their addresses."""
    import ray

    leaving, told = leaving_nodes(), [node for node in ray.nodes() if node["Alive"]]
    addresses = Counter(node["NodeManagerAddress"] for node in told)
    return [
        Node(
            id=node["NodeID"],
            name=_name(node["NodeManagerAddress"], node["NodeID"], addresses),
            resources=node["Resources"],
            leaving=node["NodeID"] in leaving,
        )
        for node in told
    ]


def _name(address: str, node: str, addresses: Mapping[str, int]) -> str:
    """An address, with a piece of the node's id where several nodes share it."""
    return address if addresses[address] == 1 else f"{address}/{node[:6]}"


def leaving_nodes() -> set[str]:
    """The nodes that were told to end, as a spot instance is before its time is up."""
    from ray._private.state import state  # where `ray drain-node` puts it; no public way to ask

    return set(state.get_draining_nodes())


def here() -> str:
    """The id of the node that this process runs on."""
    import ray

    node: str = ray.get_runtime_context().get_node_id()
    return node


def here_is_leaving() -> bool:
    """Whether the node of this process was told to end; False where Ray does not run."""
    import ray

    return ray.is_initialized() and here() in leaving_nodes()


class Watch:
    """The nodes of a running search, looked at once a second at most.

    A trial whose worker died about when a node did is excused: nothing is wrong with it.
    """

    def __init__(
        self,
        resources: Resources,
        look: Callable[[], Sequence[Node]] = nodes_up,
        clock: Callable[[], float] = time.monotonic,
        launched: Path = LAUNCHED,
    ) -> None:
        self._resources, self._look, self._clock = resources, look, clock
        self._grown = grown(resources, launched)
        self._nodes: dict[str, Node] = {}
        self._looked = -math.inf
        self._gone: list[float] = []

    def __getstate__(self) -> dict[str, object]:
        """Nothing for Ray to pickle: another process has another watch."""
        return {}

    def room(self) -> int:
        """How many trials to run at a time, on the nodes that stay."""
        staying = [node.resources for node in self._seen().values() if not node.leaving]
        return at_a_time(self._resources, fit(self._resources, staying), self._grown)

    def excused(self, lost_at: float) -> bool:
        """Whether a worker lost at this time went with its node."""
        nodes = self._seen(now=True).values()
        late = any(node.leaving for node in nodes)
        return late or any(abs(gone - lost_at) <= BLAMED_S for gone in self._gone)

    def _seen(self, now: bool = False) -> Mapping[str, Node]:
        time_s = self._clock()
        if now or time_s - self._looked >= LOOK_EVERY_S:
            self._looked = time_s
            found = self._found()
            self._gone += [time_s] * len(self._nodes.keys() - found.keys())
            self._nodes = found
        return self._nodes

    def _found(self) -> dict[str, Node]:
        """The nodes now; those of before where Ray does not answer, as an error ends a search."""
        try:
            return {node.id: node for node in self._look()}
        except Exception as error:  # of Ray's many kinds
            log.warning("the cluster did not tell its nodes: %s", error)
            return self._nodes


def grown(resources: Resources, launched: Path = LAUNCHED) -> int:
    """How many trials fit once an autoscaler started by Ray's launcher has done all it may; 0 where
    there is none.
    """
    return most(resources, _read(launched.expanduser()))


def _read(path: Path) -> Mapping[str, object]:
    """The launcher's configuration; empty where the cluster was started in another way."""
    try:
        found = plain(read_text(path))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}

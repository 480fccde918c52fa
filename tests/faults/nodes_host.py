"""Several Ray nodes on this machine, run by one process that takes commands on stdin.

    python nodes_host.py

reads one JSON list per line: `["add", {"num_cpus": 1}]`, `["kill", ID]`, `["drain", ID, SECONDS]`;
and answers each with a JSON value. Its first output line is the address. All nodes end with it.
"""

import contextlib
import json
import os
import signal
import sys
import time
from typing import Any

import ray
from processes import children
from ray._raylet import GcsClient  # type: ignore[attr-defined]
from ray.cluster_utils import Cluster
from ray.core.generated import autoscaler_pb2

# A killed node is noticed after 2 s instead of 12 s.
NOTICE = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 1000,
    "health_check_failure_threshold": 2,
}


class Host:
    """A head that takes no trials, and the nodes added to it by id."""

    def __init__(self) -> None:
        # Ray notes the newest cluster's address under RAY_TMPDIR, where others would find it.
        assert "RAY_TMPDIR" in os.environ
        head = {"num_cpus": 0, "include_dashboard": False, "_system_config": NOTICE}
        self.cluster = Cluster(initialize_head=True, head_node_args=head)
        self.nodes: dict[str, Any] = {}

    def add(self, amounts: dict[str, Any]) -> list[Any]:
        """Add a node; return its id and the pid of its raylet."""
        node = self.cluster.add_node(**amounts)
        self.nodes[node.node_id] = node
        return [node.node_id, raylet(node)]

    def kill(self, node_id: str) -> float:
        """Send SIGKILL to everything on a node at once, like a power loss; return the seconds until
        the cluster noticed.
        """
        node = self.nodes.pop(node_id)
        for process in [*children(raylet(node)), raylet(node)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        began = time.monotonic()
        while node_id in self.cluster.global_state._live_node_ids():
            time.sleep(0.05)
        noticed_s = time.monotonic() - began
        self.cluster.remove_node(node, allow_graceful=False)
        return noticed_s

    def drain(self, node_id: str, seconds: float) -> list[Any]:
        """Give a node the notice of a spot instance; return whether it was accepted, and why."""
        preempted = autoscaler_pb2.DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION")
        deadline_ms = int((time.time() + seconds) * 1000)
        gcs = GcsClient(address=self.cluster.address)
        accepted, why = gcs.drain_node(node_id, preempted, "spot instance", deadline_ms)
        return [bool(accepted), str(why)]


def raylet(node: Any) -> int:
    return int(node.all_processes["raylet"][0].process.pid)


def main() -> None:
    host = Host()
    print(json.dumps(host.cluster.address), flush=True)
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        print(json.dumps(getattr(host, name)(*arguments)), flush=True)
    host.cluster.shutdown()
    ray.shutdown()


if __name__ == "__main__":
    main()

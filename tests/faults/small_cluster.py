"""The small study on a cluster of several nodes on this machine, which join and leave."""

import contextlib
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from processes import children
from small_study import SmallStudy

HOST = Path(__file__).with_name("nodes_host.py")
ENDS_S = 30.0
EPOCHS = 14
TRIALS = 5
BEGINNING = 12  # approximate number of journal lines before the first epoch's


class Nodes:
    """A Ray cluster with a head that takes no trials; every other node has one CPU.

    It has its own folder, token and home, so no other Ray on this machine meets it.
    """

    def __init__(self, home: Path, log: Path) -> None:
        self.folder = tempfile.mkdtemp(prefix="tls-")  # short, since socket names contain it
        self.env = {
            "HOME": str(home),
            "RAY_TMPDIR": self.folder,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "RAY_USAGE_STATS_ENABLED": "0",
        }
        self._host = subprocess.Popen(
            [sys.executable, str(HOST)],
            env={**os.environ, **self.env},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log.open("wb"),
            text=True,
        )
        assert self._host.stdin
        assert self._host.stdout
        self._requests, self._answers = self._host.stdin, self._host.stdout
        self._log = log
        try:
            self.env["RAY_ADDRESS"] = self._answer()
        except RuntimeError:
            self.close()
            raise
        self.raylets: dict[str, int] = {}

    def environment(self) -> dict[str, str]:
        """Return the environment of a process that joins the cluster."""
        return {**os.environ, **self.env}

    def add(self, **amounts: Any) -> str:
        """Add a node and return its id."""
        node: str
        node, self.raylets[node] = self._call("add", {"num_cpus": 1, **amounts})
        return node

    def kill(self, node: str) -> float:
        """Send SIGKILL to everything on a node; return the seconds until the cluster noticed."""
        del self.raylets[node]
        noticed_s: float = self._call("kill", node)
        return noticed_s

    def drain(self, node: str, seconds: float) -> None:
        """Give a node the notice of a spot instance."""
        accepted, why = self._call("drain", node, seconds)
        assert accepted, why

    def workers(self, node: str) -> set[int]:
        """Return the pids of the processes that Ray runs on a node."""
        return set(children(self.raylets[node]))

    def close(self) -> None:
        """End every node."""
        with contextlib.suppress(BrokenPipeError):
            self._requests.close()
        try:
            self._host.wait(ENDS_S)
        except subprocess.TimeoutExpired:
            self._host.kill()
            self._host.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _call(self, *request: Any) -> Any:
        self._requests.write(json.dumps(request) + "\n")
        self._requests.flush()
        return self._answer()

    def _answer(self) -> Any:
        while line := self._answers.readline():
            with contextlib.suppress(ValueError):  # Ray prints other lines now and then
                return json.loads(line)
        raise RuntimeError(f"the nodes' process ended: {self._log.read_text()[-2000:]}")


class ClusterStudy(SmallStudy):
    """A small study whose driver joins a cluster and whose trials train whole networks."""

    def __init__(self, root: Path, nodes: Nodes, trials: int) -> None:
        super().__init__(root, trials=trials)
        self.nodes = nodes
        self.joined_s: list[float] = []  # seconds until a node that joined had a trial
        self.noticed_s: list[float] = []  # seconds until the cluster noticed that a node was killed
        self.left_s: list[float] = []  # seconds until trials had left a node after its notice
        space = root / "space.yaml"
        changed = space.read_text().replace("max_concurrent: 2", "max_concurrent: auto")
        changed = changed.replace("unfrozen_layers: [0, 15]", "unfrozen_layers: [40, all]")
        space.write_text(changed.replace("epochs: 4", f"epochs: {EPOCHS}\nscheduler: none"))

    def start(self, extend: bool = True, /, **env: str) -> subprocess.Popen[bytes]:
        """Start or resume the study on the cluster."""
        return super().start(extend, **{**self.nodes.env, **env})

    def finish(self) -> None:
        """Wait until the driver ends; without one, resume the study to its end."""
        if self.alive():
            self.expect(0)
        else:
            super().finish()

    def trials_on(self, node: str) -> dict[int, int]:
        """Return the trials that train on a node, by pid."""
        there = self.nodes.workers(node)
        return {pid: trial for pid, trial in self.workers().items() if pid in there}

    def wait_until(self, holds: Any, within_s: float) -> float | None:
        """Return the seconds until `holds()` is true; None if time ran out or the driver ended."""
        began = time.monotonic()
        while self.alive() and time.monotonic() - began < within_s:
            if holds():
                return time.monotonic() - began
            time.sleep(0.05)
        return None

    def wait_for_reports(self, count: int) -> bool:
        """Wait for `count` more journal lines, beyond those before the first epoch."""
        return self.wait_for_lines(BEGINNING + count if self.lines() == 0 else count)

    def log_of(self, trial: int) -> str:
        """Return the output of a trial's workers."""
        return (self.study / "trials" / f"{trial:05d}" / "log").read_text(errors="replace")

    def saved(self, trial: int) -> bool:
        """Whether a trial can resume from an epoch that it has trained."""
        return (self.study / "trials" / f"{trial:05d}" / "resume.npz").is_file()


@contextlib.contextmanager
def cluster_study(root: Path, nodes: int = 1, trials: int = TRIALS) -> Iterator[ClusterStudy]:
    """Yield a study on a cluster of this many nodes; both are gone when the block ends."""
    root.mkdir(parents=True, exist_ok=True)
    cluster = Nodes(root, root / "nodes.log")
    try:
        for _ in range(nodes):
            cluster.add()
        study = ClusterStudy(root, cluster, trials)
        try:
            yield study
        finally:
            study.close()
    finally:
        cluster.close()

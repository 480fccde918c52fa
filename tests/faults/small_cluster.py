"""The small study on a cluster of several nodes on this machine, which come and go."""

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
BEGINNING = 12  # lines of the journal before the first epoch's, about


class Nodes:
    """A Ray cluster with a head that takes no trials; every other node has one CPU.

    Its folder, its token and its home are its own: no other Ray of this machine meets it.
    """

    def __init__(self, home: Path, log: Path) -> None:
        self.folder = tempfile.mkdtemp(prefix="tls-")  # short: it is in the names of sockets
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
        """Of a process that joins the cluster."""
        return {**os.environ, **self.env}

    def add(self, **amounts: Any) -> str:
        """A new node, by its id."""
        node: str
        node, self.raylets[node] = self._asked("add", {"num_cpus": 1, **amounts})
        return node

    def kill(self, node: str) -> float:
        """SIGKILL of everything that runs on a node; seconds until the cluster noticed."""
        del self.raylets[node]
        noticed_s: float = self._asked("kill", node)
        return noticed_s

    def drain(self, node: str, seconds: float) -> None:
        """Give a node the notice of a spot instance."""
        accepted, why = self._asked("drain", node, seconds)
        assert accepted, why

    def workers(self, node: str) -> set[int]:
        """The processes that Ray runs on a node."""
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

    def _asked(self, *request: Any) -> Any:
        self._requests.write(json.dumps(request) + "\n")
        self._requests.flush()
        return self._answer()

    def _answer(self) -> Any:
        while line := self._answers.readline():
            with contextlib.suppress(ValueError):  # Ray prints now and then
                return json.loads(line)
        raise RuntimeError(f"the nodes' process ended: {self._log.read_text()[-2000:]}")


class ClusterStudy(SmallStudy):
    """The small study, whose driver joins a cluster; its trials train whole networks."""

    def __init__(self, root: Path, nodes: Nodes, trials: int) -> None:
        super().__init__(root, trials=trials)
        self.nodes = nodes
        self.joined_s: list[float] = []  # seconds until a node that joined had a trial
        self.noticed_s: list[float] = []  # seconds until the cluster saw that a node was killed
        self.left_s: list[float] = []  # seconds until trials had left a node after its notice
        space = root / "space.yaml"
        changed = space.read_text().replace("max_concurrent: 2", "max_concurrent: auto")
        changed = changed.replace("unfrozen_layers: [0, 15]", "unfrozen_layers: [40, all]")
        space.write_text(changed.replace("epochs: 4", f"epochs: {EPOCHS}\nscheduler: none"))

    def start(self, extend: bool = True, /, **env: str) -> subprocess.Popen[bytes]:
        """Begin the study, or go on with it, on the cluster."""
        return super().start(extend, **{**self.nodes.env, **env})

    def finish(self) -> None:
        """Let the driver come to its end; where there is none any more, go on until then."""
        if self.alive():
            self.expect(0)
        else:
            super().finish()

    def trials_on(self, node: str) -> dict[int, int]:
        """The processes of a node that train a trial: pid, trial."""
        there = self.nodes.workers(node)
        return {pid: trial for pid, trial in self.workers().items() if pid in there}

    def wait_until(self, holds: Any, within_s: float) -> float | None:
        """Seconds until something holds; None where it did not in time, or the driver ended."""
        began = time.monotonic()
        while self.alive() and time.monotonic() - began < within_s:
            if holds():
                return time.monotonic() - began
            time.sleep(0.05)
        return None

    def wait_for_reports(self, count: int) -> bool:
        """Wait until the journal holds that many lines more than a trial's beginning takes."""
        return self.wait_for_lines(BEGINNING + count if self.lines() == 0 else count)

    def log_of(self, trial: int) -> str:
        """What the workers of a trial said."""
        return (self.study / "trials" / f"{trial:05d}" / "log").read_text(errors="replace")

    def saved(self, trial: int) -> bool:
        """Whether a trial can be taken up from an epoch that it has trained."""
        return (self.study / "trials" / f"{trial:05d}" / "resume.npz").is_file()


@contextlib.contextmanager
def cluster_study(root: Path, nodes: int = 1, trials: int = TRIALS) -> Iterator[ClusterStudy]:
    """A study on a cluster of this many nodes; neither is left when the block ends."""
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

"""The memory of a process and all its descendants, by role (Linux)."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

MB = 2**20
# Ray's name for a worker -> its task in a search; an idle worker keeps its last role.
_WORKERS = {
    "resourcetrainable": "trial",
    "trialactor": "trial",
    "train_handed_over": "confirm",
    "exporter": "export",
}
_IDLE = "worker idle"
_KINDS = {"VmRSS": "rss", "RssAnon": "private", "RssShmem": "shared"}


@dataclass
class Peaks:
    """Peak memory in MB, of the largest process of each role and of all processes together.

    `rss` includes the files that a process has mapped, `private` does not; `together` is private
    memory.
    """

    rss: dict[str, float] = field(default_factory=dict)
    private: dict[str, float] = field(default_factory=dict)
    together: float = 0.0

    def see(self, processes: Mapping[int, tuple[str, dict[str, float]]]) -> None:
        """Take one sample into account: process -> its role and memory."""
        for role, memory in processes.values():
            for name, peaks in (("rss", self.rss), ("private", self.private)):
                peaks[role] = max(peaks.get(role, 0.0), memory.get(name, 0.0))
        held = sum(memory.get("private", 0.0) for _, memory in processes.values())
        self.together = max(self.together, held)


class Sampler:
    """Samples the processes below `root` while the block runs; `peaks` holds the results."""

    def __init__(self, root: int, every_s: float = 0.25) -> None:
        self.peaks = Peaks()
        self._root, self._every_s = root, every_s
        self._before: dict[int, str] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Sampler":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(self._every_s):
            self.peaks.see(self._remembered(tree(self._root)))

    def _remembered(
        self, seen: Mapping[int, tuple[str, dict[str, float]]]
    ) -> dict[int, tuple[str, dict[str, float]]]:
        """Return the sample with every idle worker in its last role."""
        sample = {}
        for pid, (role, memory) in seen.items():
            if role != _IDLE:
                self._before[pid] = role
            sample[pid] = (self._before.get(pid, _IDLE), memory)
        return sample


def tree(root: int) -> dict[int, tuple[str, dict[str, float]]]:
    """Return a process and all its descendants: the role and the memory in MB of each."""
    parents = {pid: parent for pid in _running() if (parent := _parent(pid)) is not None}
    members, grown = {root}, True
    while grown:
        more = {pid for pid, parent in parents.items() if parent in members} - members
        members, grown = members | more, bool(more)
    return {pid: (_role(pid, root), memory) for pid in members if (memory := _memory(pid))}


def _role(pid: int, root: int) -> str:
    """Return the role of a process: the driver, a Ray worker's task, Ray itself, or a check."""
    if pid == root:
        return "driver"
    command = _read(pid, "cmdline").replace("\0", " ").strip()
    if command.startswith("ray::"):
        name = command.removeprefix("ray::").split("(")[0].split(".")[0].strip().strip("_").lower()
        return "ray" if name.endswith("agent") else f"worker {_WORKERS.get(name, name)}"
    if "raylet" in command or "gcs_server" in command or "/ray/" in command:
        return "ray"
    return "check" if "tlsearch" in command or "python" in command else "other"


def _memory(pid: int) -> dict[str, float]:
    lines = (line.split() for line in _read(pid, "status").splitlines())
    fields = {words[0].rstrip(":"): words[1] for words in lines if len(words) == 3}
    return {name: int(fields[kind]) * 1024 / MB for kind, name in _KINDS.items() if kind in fields}


def _running() -> list[int]:
    return [int(path.name) for path in Path("/proc").glob("[0-9]*")]


def _parent(pid: int) -> int | None:
    words = _read(pid, "stat").rpartition(")")[2].split()
    return int(words[1]) if len(words) > 1 else None


def _read(pid: int, name: str) -> str:
    """Return a file of a process in /proc; "" if the process has ended."""
    try:
        return (Path("/proc") / str(pid) / name).read_text(errors="replace")
    except OSError:
        return ""

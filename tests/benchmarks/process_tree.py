"""The memory of a process and all that it started, by what each of them is (Linux)."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

MB = 2**20
# What Ray calls a worker -> what it does in a search; an idle one is what it was before.
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
    """The largest that was seen, in MB: of each role's largest process, `rss` with the files that
    it has mapped and `private` without; and of the private memory of all processes together.
    """

    rss: dict[str, float] = field(default_factory=dict)
    private: dict[str, float] = field(default_factory=dict)
    together: float = 0.0

    def see(self, processes: Mapping[int, tuple[str, dict[str, float]]]) -> None:
        """Take one sample into account: process -> its role and its memory."""
        for role, memory in processes.values():
            for name, peaks in (("rss", self.rss), ("private", self.private)):
                peaks[role] = max(peaks.get(role, 0.0), memory.get(name, 0.0))
        held = sum(memory.get("private", 0.0) for _, memory in processes.values())
        self.together = max(self.together, held)


class Sampler:
    """Samples the processes below `root` while the block runs; `peaks` tells what was seen."""

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
        """The same, an idle worker in the role that it had last."""
        found = {}
        for pid, (role, memory) in seen.items():
            if role != _IDLE:
                self._before[pid] = role
            found[pid] = (self._before.get(pid, _IDLE), memory)
        return found


def tree(root: int) -> dict[int, tuple[str, dict[str, float]]]:
    """A process and all below it: its role and its memory in MB."""
    parents = {pid: parent for pid in _running() if (parent := _parent(pid)) is not None}
    found, grown = {root}, True
    while grown:
        more = {pid for pid, parent in parents.items() if parent in found} - found
        found, grown = found | more, bool(more)
    return {pid: (_role(pid, root), memory) for pid in found if (memory := _memory(pid))}


def _role(pid: int, root: int) -> str:
    """What a process is: the driver, what a worker of Ray's does, Ray itself, or a check."""
    if pid == root:
        return "driver"
    said = _read(pid, "cmdline").replace("\0", " ").strip()
    if said.startswith("ray::"):
        name = said.removeprefix("ray::").split("(")[0].split(".")[0].strip().strip("_").lower()
        return "ray" if name.endswith("agent") else f"worker {_WORKERS.get(name, name)}"
    if "raylet" in said or "gcs_server" in said or "/ray/" in said:
        return "ray"
    return "check" if "tlsearch" in said or "python" in said else "other"


def _memory(pid: int) -> dict[str, float]:
    lines = (line.split() for line in _read(pid, "status").splitlines())
    told = {words[0].rstrip(":"): words[1] for words in lines if len(words) == 3}
    return {name: int(told[kind]) * 1024 / MB for kind, name in _KINDS.items() if kind in told}


def _running() -> list[int]:
    return [int(path.name) for path in Path("/proc").glob("[0-9]*")]


def _parent(pid: int) -> int | None:
    words = _read(pid, "stat").rpartition(")")[2].split()
    return int(words[1]) if len(words) > 1 else None


def _read(pid: int, name: str) -> str:
    """A file of a process; "" where it has ended."""
    try:
        return (Path("/proc") / str(pid) / name).read_text(errors="replace")
    except OSError:
        return ""

"""What a node must have before the first trial, what one answered, and what is wrong with that."""

import hashlib
import platform
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from pathlib import Path

from tlsearch.base.digests import sha256
from tlsearch.base.errors import ClusterError
from tlsearch.base.gpus import limit_mib, memory_mib
from tlsearch.base.machine import PACKAGE
from tlsearch.config.catalog import DIGEST_DIGITS

SAME = ("tlsearch", "ray", "tensorflow", "keras", "numpy")
LEAST_CACHE_BYTES = 2**30
MARKER = ".preflight"
SHARED = "the study's directory, shared by all nodes"


@dataclass(frozen=True)
class Question:
    """What every node is asked to look for: files by path, as the driver names them, with the
    SHA-256 of what they hold.

    `marker` is a file that the driver wrote into the study's directory, with `token` in it; every
    node reads it and writes one of its own beside it. Without `study` nodes need not share one.
    """

    files: Mapping[Path, str]
    study: Path | None
    cache: Path
    token: str

    @property
    def marker(self) -> Path | None:
        """The driver's marker."""
        return None if self.study is None else self.study / f"{MARKER}-{self.token}"

    def marker_of(self, node: str) -> Path | None:
        """The marker of a node, by its id."""
        return None if self.marker is None else self.marker.with_name(f"{self.marker.name}-{node}")


@dataclass(frozen=True)
class Found:
    """What one node answered: versions, what it could not read (path -> why), its markers, GPUs.

    `marker` is None where it read the driver's marker and wrote its own, else why not.
    """

    versions: Mapping[str, str]
    unreadable: Mapping[Path, str]
    marker: str | None
    gpu_mib: tuple[int, ...]
    free_bytes: int


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong on one node."""

    node: str
    check: str
    found: str
    expected: str


@dataclass(frozen=True)
class Needs:
    """What the study needs of every node, and what the driver itself runs."""

    versions: Mapping[str, str]
    gpus_per_trial: float
    cache_bytes: int


def asked(files: Iterable[Path], study: Path | None, cache: Path) -> Question:
    """The question of a study, whose files are those that the driver sees."""
    held = {path: sha256(path) for path in files}
    return Question(held, study, cache, uuid.uuid4().hex)


def look(question: Question, node: str, gpus: bool) -> Found:
    """Answer for the node that this process runs on; imports neither TensorFlow nor Ray."""
    return Found(
        versions=versions(),
        unreadable=dict(_unreadable(question)),
        marker=_exchange(question, node),
        gpu_mib=memory_mib() if gpus else (),
        free_bytes=_free_bytes(question.cache),
    )


def judge(needs: Needs, name: str, gpus: int, found: Found) -> list[Problem]:
    """What is wrong with a node that has this name and this many GPUs in Ray's books."""
    return [
        Problem(name, check, what, expected)
        for check, what, expected in (
            *_versions(needs, found),
            *_files(found),
            *_gpus(needs, gpus, found),
            *_disk(needs, found),
        )
    ]


def require_here(study_file: Path | None, expected: Mapping[str, str]) -> None:
    """Raise ClusterError on a node, which may have joined late, that does not see the study, where
    nodes share one, or runs other versions.
    """
    name, found = platform.node(), Found(versions(), {}, None, (), 0)
    problems = [Problem(name, *one) for one in _versions(Needs(expected, 0, 0), found)]
    if study_file is not None and not study_file.is_file():
        problems.append(Problem(name, "storage", f"{study_file}: no such file", SHARED))
    if problems:
        raise ClusterError(table(problems, 1))


def table(problems: Sequence[Problem], nodes: int) -> str:
    """All problems of all nodes in one table, under a line that counts the nodes."""
    bad = len({problem.node for problem in problems})
    rows = [("node", "check", "expected", "found")]
    rows += [(p.node, p.check, p.expected, p.found) for p in problems]
    widths = [max(len(row[place]) for row in rows) for place in range(3)]
    lines = [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]])
        for row in rows
    ]
    return "\n".join([f"{bad} of {nodes} nodes cannot train this study's trials:", *lines])


@lru_cache(maxsize=1)
def versions() -> dict[str, str]:
    """What decides whether two nodes compute the same: Python's minor version, packages, our code.

    An installed version says nothing of a checkout that was edited, so our files count as well.
    """
    found = {"python": ".".join(platform.python_version_tuple()[:2])}
    for package in SAME:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "none"
    found["tlsearch"] += f" ({_code_digest()})"
    return found


def _code_digest() -> str:
    digest = hashlib.blake2b(digest_size=3)
    for path in sorted(PACKAGE.rglob("*.py")):
        digest.update(str(path.relative_to(PACKAGE)).encode() + path.read_bytes())
    return digest.hexdigest()


def _unreadable(question: Question) -> Iterator[tuple[Path, str]]:
    for path, held in question.files.items():
        try:
            there = sha256(path)
        except OSError as error:
            yield path, error.strerror or type(error).__name__
        else:
            if there != held:
                yield path, f"SHA-256 {there[:DIGEST_DIGITS]}, not {held[:DIGEST_DIGITS]}"


def _exchange(question: Question, node: str) -> str | None:
    """Read the driver's marker and write this node's; None, or what went wrong."""
    drivers, own = question.marker, question.marker_of(node)
    if drivers is None or own is None:
        return None
    try:
        if drivers.read_text() != question.token:
            return "another file is there"
        own.write_text(question.token)
    except OSError as error:
        return f"{error.strerror or type(error).__name__}: {error.filename}"
    return None


def _free_bytes(folder: Path) -> int:
    there = next(path for path in (folder, *folder.parents) if path.exists())
    return shutil.disk_usage(there).free


Finding = tuple[str, str, str]  # check, found, expected


def _versions(needs: Needs, found: Found) -> Iterator[Finding]:
    for name, here in needs.versions.items():
        there = found.versions.get(name, "none")
        if there != here:
            yield name, there, f"{here}, as where the search was started"


def _files(found: Found) -> Iterator[Finding]:
    for path, why in found.unreadable.items():
        yield "weights", f"{path}: {why}", "the file as it is where the search was started"
    if found.marker is not None:
        yield "storage", found.marker, SHARED


def _gpus(needs: Needs, promised: int, found: Found) -> Iterator[Finding]:
    if not (needs.gpus_per_trial and promised):
        return
    if len(found.gpu_mib) < promised:
        yield "gpu", f"{len(found.gpu_mib)} that nvidia-smi sees", f"the {promised} that Ray counts"
    if needs.gpus_per_trial < 1 and found.gpu_mib:
        try:
            limit_mib(needs.gpus_per_trial, min(found.gpu_mib))
        except ClusterError as error:
            yield "gpu memory", str(error), "room for every trial"


def _disk(needs: Needs, found: Found) -> Iterator[Finding]:
    least = min(needs.cache_bytes, LEAST_CACHE_BYTES)
    if found.free_bytes < least:
        free = f"{found.free_bytes / 1e9:.2f} GB free"
        yield "disk", free, f"{least / 1e9:.2f} GB free at the cache"

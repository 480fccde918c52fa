"""The checks of a node before the first trial: the question, a node's answer, and its problems."""

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
from tlsearch.config.networks.own import local_copy

SAME = ("tlsearch", "ray", "tensorflow", "keras", "numpy")
LEAST_CACHE_BYTES = 2**30
MARKER = ".preflight"
SHARED = "the study's directory, shared by all nodes"


@dataclass(frozen=True)
class Question:
    """The checks requested of every node; `files` maps paths on the driver to their SHA-256.

    `marker` is a file with the text `token` that the driver writes to the study's directory. Every
    node reads it and writes a marker of its own beside it. If `study` is None, the nodes need not
    share a directory.
    """

    files: Mapping[Path, str]
    study: Path | None
    cache: Path
    token: str

    @property
    def marker(self) -> Path | None:
        """The path of the driver's marker, or None if no directory is shared."""
        return None if self.study is None else self.study / f"{MARKER}-{self.token}"

    def marker_of(self, node: str) -> Path | None:
        """Return the path of a node's marker, by the node's id; None if no directory is shared."""
        return None if self.marker is None else self.marker.with_name(f"{self.marker.name}-{node}")


@dataclass(frozen=True)
class Found:
    """The answer of one node.

    `unreadable` maps the path of a file that is missing or differs to the reason. `marker` is None
    if the node read the driver's marker and wrote its own, else the reason why not. `gpu_mib` is
    the memory of each GPU, `free_bytes` the free disk space at the cache.
    """

    versions: Mapping[str, str]
    unreadable: Mapping[Path, str]
    marker: str | None
    gpu_mib: tuple[int, ...]
    free_bytes: int


@dataclass(frozen=True)
class Problem:
    """One problem on one node: a row of the table of problems."""

    node: str
    check: str
    found: str
    expected: str


@dataclass(frozen=True)
class Needs:
    """The requirements of a study on every node: versions, GPUs per trial, and cache space."""

    versions: Mapping[str, str]
    gpus_per_trial: float
    cache_bytes: int


def build_question(files: Iterable[Path], study: Path | None, cache: Path) -> Question:
    """Return the question of a study, with digests of `files` as the driver sees them."""
    held = {path: sha256(path) for path in files}
    return Question(held, study, cache, uuid.uuid4().hex)


def answer_question(question: Question, node: str, gpus: bool) -> Found:
    """Return the answer of this process's node; imports neither TensorFlow nor Ray."""
    return Found(
        versions=node_versions(),
        unreadable=dict(_unreadable(question)),
        marker=_exchange(question, node),
        gpu_mib=memory_mib() if gpus else (),
        free_bytes=_free_bytes(question.cache),
    )


def node_problems(needs: Needs, name: str, gpus: int, found: Found) -> list[Problem]:
    """Return the problems of a node, named `name`, for which Ray counts `gpus` GPUs."""
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
    """Raise ClusterError if this node, which may have joined late, runs other versions or does not
    see `study_file`. If that is None, the nodes share no study directory.
    """
    name, found = platform.node(), Found(node_versions(), {}, None, (), 0)
    problems = [Problem(name, *one) for one in _versions(Needs(expected, 0, 0), found)]
    if study_file is not None and not study_file.is_file():
        problems.append(Problem(name, "storage", f"{study_file}: no such file", SHARED))
    if problems:
        raise ClusterError(problems_table(problems, 1))


def problems_table(problems: Sequence[Problem], nodes: int) -> str:
    """Return all problems of all nodes as one table below a line that counts the nodes."""
    bad = len({problem.node for problem in problems})
    rows = [("node", "check", "expected", "found")]
    rows += [(p.node, p.check, p.expected, p.found) for p in problems]
    widths = [max(len(row[index]) for row in rows) for index in range(3)]
    lines = [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]])
        for row in rows
    ]
    return "\n".join([f"{bad} of {nodes} nodes cannot train this study's trials:", *lines])


@lru_cache(maxsize=1)
def node_versions() -> dict[str, str]:
    """Return the versions of Python (major and minor), of packages and of our own code.

    Two nodes compute the same only if these agree. A digest of our files is part of our version,
    because the version of an edited checkout does not change.
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
            there = sha256(local_copy(path))
        except OSError as error:
            yield path, error.strerror or type(error).__name__
        else:
            if there != held:
                yield path, f"SHA-256 {there[:DIGEST_DIGITS]}, not {held[:DIGEST_DIGITS]}"


def _exchange(question: Question, node: str) -> str | None:
    """Read the driver's marker and write this node's; return None, or the reason if that fails."""
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

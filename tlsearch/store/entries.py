"""The entries of a folder of arrays, their sidecars, and the choice of entries to evict."""

import contextlib
import hashlib
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tlsearch.base.array_types import AnyArray
from tlsearch.base.files import parse_json, write_json

CHUNK_BYTES = 2**24


@dataclass(frozen=True)
class About:
    """The sidecar of an entry: its contents, the seconds it took to compute, and its checksum.

    `checksum` is taken over the digests of its shards of `shard_rows` rows, so that processes that
    computed different shards need not read the whole array again.
    """

    shape: tuple[int, ...]
    dtype: str
    seconds: float
    shard_rows: int
    checksum: str
    what: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Entry:
    """One array on disk: its size, when it was last opened (seconds since 1970), its sidecar."""

    path: Path
    bytes: int
    last_used: float
    about: About | None

    @property
    def key(self) -> str:
        """The key of the array."""
        return self.path.stem


def entries(root: Path) -> list[Entry]:
    """All complete entries of a folder, least recently used first; [] if there is no folder."""
    found = [entry for path in root.glob("*.npy") if (entry := _entry(path)) is not None]
    return sorted(found, key=lambda entry: (entry.last_used, entry.key))


def _entry(path: Path) -> Entry | None:
    try:
        stat = path.stat()
    except FileNotFoundError:  # evicted since it was listed
        return None
    return Entry(path, stat.st_size, stat.st_mtime, read_about(path))


def to_evict(
    held: Sequence[Entry], wanted_bytes: int, budget_bytes: int
) -> tuple[Entry, ...] | None:
    """The entries to evict for `wanted_bytes`, least recently used first; None if it cannot fit.

    No more entries than needed, so none if there is room already.
    """
    if wanted_bytes > budget_bytes:
        return None
    total = sum(entry.bytes for entry in held)
    evicted = []
    for entry in sorted(held, key=lambda entry: (entry.last_used, entry.key)):
        if total + wanted_bytes <= budget_bytes:
            break
        evicted.append(entry)
        total -= entry.bytes
    return tuple(evicted)


def touch(path: Path) -> None:
    """Record that an entry was opened, by its modification time: mounts may lack access times."""
    with contextlib.suppress(OSError):  # a read-only cache works too
        os.utime(path)


def remove(path: Path) -> None:
    """Remove an entry and its sidecar; processes that have it mapped can still read it."""
    path.unlink(missing_ok=True)
    sidecar(path).unlink(missing_ok=True)


def sidecar(path: Path) -> Path:
    """The path of an entry's sidecar."""
    return path.with_suffix(".json")


def write_about(path: Path, about: About) -> None:
    """Write an entry's sidecar."""
    write_json(sidecar(path), asdict(about))


def read_about(path: Path) -> About | None:
    """Read an entry's sidecar; None if it is missing or cannot be read."""
    try:
        raw = parse_json(sidecar(path).read_text(encoding="utf-8"))
        return About(**raw | {"shape": tuple(raw["shape"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None


def digest(blocks: Iterable[AnyArray]) -> str:
    """The digest of contiguous blocks, one after another."""
    running = hashlib.blake2b(digest_size=16)
    for block in blocks:
        running.update(block.data)
    return running.hexdigest()


def checksum(shard_digests: Sequence[str]) -> str:
    """The checksum of an entry from the digests of its shards."""
    return hashlib.blake2b("\0".join(shard_digests).encode(), digest_size=16).hexdigest()


def array_checksum(array: AnyArray, shard_rows: int) -> str:
    """The checksum of a whole array, which is read once from beginning to end."""
    starts = range(0, len(array), shard_rows)
    return checksum([digest(_chunks(array[start : start + shard_rows])) for start in starts])


def _chunks(rows: AnyArray) -> Iterator[AnyArray]:
    step = max(1, CHUNK_BYTES * len(rows) // max(rows.nbytes, 1))
    for start in range(0, len(rows), step):
        yield rows[start : start + step]


def age_s(entry: Entry) -> float:
    """Seconds since an entry was last opened."""
    return max(0.0, time.time() - entry.last_used)

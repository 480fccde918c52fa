"""A cache folder as a whole: its entries, checks of their contents, and eviction."""

import re
import shutil
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from tlsearch.store.arrays import DAMAGED, ArrayStore
from tlsearch.store.entries import Entry, age_s, array_checksum, entries, remove, to_evict
from tlsearch.store.shards import abandoned_passes
from tlsearch.store.users import is_used

# The folders of a cache.
KINDS = ("features", "images", "hashes", "depths", "readable", "audits")
JUST_OPENED_S = 60
_KEY = re.compile(r"[0-9a-f]{32}")  # files with other names are not ours to delete


@dataclass(frozen=True)
class CacheEntry:
    """One entry of a cache, and the folder of the cache that it is in."""

    kind: str
    entry: Entry

    @property
    def description(self) -> str:
        """A description of the entry; its key if its sidecar has none."""
        about = self.entry.about
        if about is None:
            return self.entry.key
        what = about.what
        if self.kind == "features" and {"weights", "cut", "image_px"} <= what.keys():
            weights = str(what["weights"]).split()[0].rpartition(":")[2]
            view = f" view {what['view']}" if what.get("view") else ""
            return f"{weights} {what['cut']} {what['image_px']} px {about.dtype}{view}"
        if self.kind == "images" and "source" in what:
            return f"{what['source']} {what['image_px']} px"
        return self.entry.key


def cache_entries(cache: Path) -> list[CacheEntry]:
    """All entries of a cache, least recently used first."""
    found = [
        CacheEntry(kind, entry)
        for kind in KINDS
        for entry in entries(cache / kind)
        if _KEY.fullmatch(entry.key)
    ]
    return sorted(found, key=lambda one: one.entry.last_used)


def entry_problem(entry: Entry) -> str | None:
    """The problem of an entry, which is read from beginning to end; None if it has none."""
    try:
        array = np.load(entry.path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        return None  # evicted in the meantime
    except DAMAGED as error:
        return f"cannot be read ({error})"
    about = entry.about
    if about is None:
        return None
    if array.shape != about.shape or str(array.dtype) != about.dtype:
        return f"found {array.shape} {array.dtype}, expected {about.shape} {about.dtype}"
    found = array_checksum(array, about.shard_rows)
    return None if found == about.checksum else f"checksum {found}, expected {about.checksum}"


def remove_faulty(entry: Entry) -> None:
    """Remove a damaged entry, unless another process has repaired it in the meantime."""
    with FileLock(entry.path.with_suffix(".lock")):
        if any(now.path == entry.path and entry_problem(now) for now in entries(entry.path.parent)):
            remove(entry.path)


def evict(entry: Entry) -> bool:
    """Remove an entry; False if it is gone, being written, or opened since it was listed."""
    lock = entry.path.with_suffix(".lock")
    try:
        with FileLock(lock, timeout=0):
            there = entry.path.exists()
            if there and entry.path.stat().st_mtime > entry.last_used:
                return False
            remove(entry.path)
            lock.unlink()
            return there
    except Timeout:
        return False


def make_room(store: ArrayStore, wanted_bytes: int) -> list[Entry]:
    """Evict entries, least recently used first, until `wanted_bytes` more fit into the budget.

    Entries that a process uses stay, and so do those opened within the last minute, because the
    process that opened them may be about to use them. Files that are not entries of a cache stay
    too. There may still be too little room afterwards. Returns the evicted entries.
    """
    if store.budget_bytes is None or not store.root.is_dir():
        return []
    with FileLock(store.root / "budget.lock"):
        every = [entry for entry in entries(store.root) if _KEY.fullmatch(entry.key)]
        stay = paths_in_use([entry.path for entry in every])
        free = [e for e in every if e.path.resolve() not in stay and age_s(e) > JUST_OPENED_S]
        kept = sum(entry.bytes for entry in every) - sum(entry.bytes for entry in free)
        room = max(store.budget_bytes - kept, 0)
        going = to_evict(free, min(wanted_bytes, room), room) or ()
        return [entry for entry in going if evict(entry)]


def to_prune(
    every: Sequence[CacheEntry],
    to_bytes: int | None,
    older_s: float | None,
    in_use: Collection[Path],
) -> list[CacheEntry]:
    """The entries to remove: those unused for more than `older_s` seconds if it is given.

    Else those to remove, least recently used first, so that at most `to_bytes` stay, or all entries
    if neither limit is given. Entries that a process uses are never among them.
    """
    free = [one for one in every if one.entry.path.resolve() not in in_use]
    if older_s is not None:
        return [one for one in free if age_s(one.entry) > older_s]
    if to_bytes is None:
        return free
    kept = sum(one.entry.bytes for one in every) - sum(one.entry.bytes for one in free)
    going = to_evict([one.entry for one in free], 0, max(to_bytes - kept, 0)) or ()
    return [one for one in free if one.entry in going]


def paths_in_use(paths: Iterable[Path]) -> set[Path]:
    """The arrays among `paths` that a process has mapped or marked as used, links resolved."""
    mapped = mapped_files()
    return {path.resolve() for path in paths if path.resolve() in mapped or is_used(path)}


def mapped_files() -> set[Path]:
    """The arrays that processes of this machine have mapped, as far as /proc may be read."""
    found = set()
    for maps in Path("/proc").glob("[0-9]*/maps"):
        try:
            lines = maps.read_text(errors="surrogateescape").splitlines()
        except OSError:  # the process has ended or belongs to another user
            continue
        found |= {Path(line.split(maxsplit=5)[5]) for line in lines if line.endswith(".npy")}
    return found


def remove_leftovers(cache: Path) -> Iterator[Path]:
    """Remove files of dead processes, yielding each path: partial files, locks, lone sidecars."""
    for root in (cache / kind for kind in KINDS):
        for folder in abandoned_passes(root):
            shutil.rmtree(folder, ignore_errors=True)
            yield folder
        for pattern in (".*.npy.*", ".*.json.*", "*.json", "*.passlock", "*.lock", "*.user"):
            yield from filter(_remove_orphan, sorted(root.glob(pattern)))


def _remove_orphan(path: Path) -> bool:
    """Remove a file that belongs to no array and no process; returns False if it stays."""
    key = path.name.lstrip(".").split(".")[0]
    if not _KEY.fullmatch(key):
        return False
    own = path.suffix in (".passlock", ".user")
    lock = path if own else path.with_name(f"{key}.lock")
    try:
        with FileLock(lock, timeout=0):
            if path.name.startswith(".") or not _belongs(path):
                path.unlink(missing_ok=True)
                return True
    except Timeout:
        pass
    return False


def _belongs(path: Path) -> bool:
    if path.suffix == ".user":  # its process has ended, since its lock is free
        return False
    return path.with_suffix(".npy" if path.suffix != ".passlock" else ".pass").exists()

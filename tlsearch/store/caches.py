"""A cache folder as a whole: what it holds, whether that is sound, what may go."""

import re
import shutil
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from tlsearch.store.arrays import DAMAGED, ArrayStore
from tlsearch.store.entries import Entry, age_s, array_checksum, entries, remove, to_evict
from tlsearch.store.shards import abandoned
from tlsearch.store.users import is_used

# The folders of a cache.
KINDS = ("features", "images", "hashes", "depths", "readable", "audits")
JUST_OPENED_S = 60
_KEY = re.compile(r"[0-9a-f]{32}")  # a name that is no key is not ours to delete


@dataclass(frozen=True)
class Held:
    """One entry of a cache, and which of its folders it lies in."""

    kind: str
    entry: Entry

    @property
    def said(self) -> str:
        """What it is, in words; its key where nothing says it."""
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


def held(cache: Path) -> list[Held]:
    """All that a cache holds, least recently used first."""
    found = [
        Held(kind, entry)
        for kind in KINDS
        for entry in entries(cache / kind)
        if _KEY.fullmatch(entry.key)
    ]
    return sorted(found, key=lambda one: one.entry.last_used)


def fault(entry: Entry) -> str | None:
    """What is wrong with an entry, read from beginning to end; None where nothing is."""
    try:
        array = np.load(entry.path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        return None  # evicted meanwhile
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
    """Take a damaged entry away, unless another process has mended it meanwhile."""
    with FileLock(entry.path.with_suffix(".lock")):
        if any(now.path == entry.path and fault(now) for now in entries(entry.path.parent)):
            remove(entry.path)


def evict(entry: Entry) -> bool:
    """Take an entry away; False where it is being written, or was opened since it was listed."""
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
    """Evict what was not used for longest until `wanted_bytes` more fit into the store's budget.

    What a process uses stays, and what was opened within the last minute: whoever opened it may be
    about to use it. So does a file that is no entry of ours. There may be too little room even so.
    Returns what went.
    """
    if store.budget_bytes is None or not store.root.is_dir():
        return []
    with FileLock(store.root / "budget.lock"):
        every = [entry for entry in entries(store.root) if _KEY.fullmatch(entry.key)]
        stay = in_use([entry.path for entry in every])
        free = [e for e in every if e.path.resolve() not in stay and age_s(e) > JUST_OPENED_S]
        kept = sum(entry.bytes for entry in every) - sum(entry.bytes for entry in free)
        room = max(store.budget_bytes - kept, 0)
        going = to_evict(free, min(wanted_bytes, room), room) or ()
        return [entry for entry in going if evict(entry)]


def to_prune(
    every: Sequence[Held], to_bytes: int | None, older_s: float | None, in_use: Collection[Path]
) -> list[Held]:
    """What goes so that no more than `to_bytes` stay, or nothing unused for `older_s`; else all.

    What a process has open stays.
    """
    free = [one for one in every if one.entry.path.resolve() not in in_use]
    if older_s is not None:
        return [one for one in free if age_s(one.entry) > older_s]
    if to_bytes is None:
        return free
    kept = sum(one.entry.bytes for one in every) - sum(one.entry.bytes for one in free)
    going = to_evict([one.entry for one in free], 0, max(to_bytes - kept, 0)) or ()
    return [one for one in free if one.entry in going]


def in_use(paths: Iterable[Path]) -> set[Path]:
    """Those of these arrays that a process has mapped or says that it uses, links resolved."""
    mapped = mapped_files()
    return {path.resolve() for path in paths if path.resolve() in mapped or is_used(path)}


def mapped_files() -> set[Path]:
    """The arrays that processes of this machine have mapped, as far as they may be asked."""
    found = set()
    for maps in Path("/proc").glob("[0-9]*/maps"):
        try:
            lines = maps.read_text(errors="surrogateescape").splitlines()
        except OSError:  # it has ended, or is another user's
            continue
        found |= {Path(line.split(maxsplit=5)[5]) for line in lines if line.endswith(".npy")}
    return found


def leftovers(cache: Path) -> Iterator[Path]:
    """Take away what dead processes left: partial files, locks, sidecars of nothing; each path."""
    for root in (cache / kind for kind in KINDS):
        for folder in abandoned(root):
            shutil.rmtree(folder, ignore_errors=True)
            yield folder
        for pattern in (".*.npy.*", ".*.json.*", "*.json", "*.passlock", "*.lock", "*.user"):
            yield from filter(_forgotten, sorted(root.glob(pattern)))


def _forgotten(path: Path) -> bool:
    """Take away a file that belongs to no array and to no process; False where it stays."""
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
    if path.suffix == ".user":  # its process has ended, else its lock were not free
        return False
    return path.with_suffix(".npy" if path.suffix != ".passlock" else ".pass").exists()

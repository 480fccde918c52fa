"""Synchronises a study's local copy with its bucket; only changed files are transferred."""

import logging
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

from tlsearch.base.files import atomic_file, parse_json, write_json
from tlsearch.base.links import path_inside, read_plain
from tlsearch.results.record.file_names import JOURNAL, MIRROR, SEAL
from tlsearch.results.remote.bucket import Bucket
from tlsearch.results.remote.differences import (
    NEVER,
    Known,
    Names,
    Stamp,
    is_mirrored,
    still_known,
    to_drop,
    to_fetch,
    to_send,
    whole_lines,
)

log = logging.getLogger(__name__)

THREADS = 4


class Mirror:
    """A study's local copy, its bucket, and the stamps of the files that both sides hold.

    Only one process may use it at a time; the caller holds the locks. Methods raise what `Bucket`
    raises. After an error this object does not transfer again what it had already transferred.
    """

    def __init__(self, folder: Path, bucket: Bucket) -> None:
        self.folder, self.bucket = folder, bucket
        self.known = _read_state(folder / MIRROR, bucket.url)

    def push(self) -> None:
        """Update the bucket: send files, then the journal and its digest, then delete files.

        With this order the journal in the bucket never refers to a file that was not sent, no file
        is deleted that it still refers to, and its digest is never ahead of it.
        """
        before = local_stamps(self.folder)
        journal = self.journal()
        after = local_stamps(self.folder)
        self._each(self._send, to_send(after, self.known))
        stamp = (len(journal), 0)
        if journal and (JOURNAL not in self.known or self.known[JOURNAL].local != stamp):
            self.known[JOURNAL] = Known(stamp, self.bucket.write(JOURNAL, journal))
        if SEAL in before and after.get(SEAL) == before[SEAL] != self._sent_stamp(SEAL):
            self._send(SEAL)
        self._each(self._drop, to_drop(before, after, self.known))
        self._keep_state()

    def fetch(
        self, wanted: Names = is_mirrored, there: dict[str, Stamp] | None = None
    ) -> list[str]:
        """Update the `wanted` files of the local copy; return the names of those fetched.

        Local files that are no longer in the bucket are deleted. `there` holds the bucket's stamps
        if the caller has them already.
        """
        found = self.bucket.stamps() if there is None else there
        mine = {name: stamp for name, stamp in found.items() if is_mirrored(name) and wanted(name)}
        local = {name: s for name, s in local_stamps(self.folder).items() if wanted(name)}
        for name in {*local} - {*mine}:
            self._forget(name)
        came = to_fetch(mine, local, self.known)
        self._each(lambda name: self._take(name, mine[name]), came[:-1])
        self._each(lambda name: self._take(name, mine[name]), came[-1:])
        self._keep_state()
        return came

    def adopt(self, there: dict[str, Stamp]) -> None:
        """Keep the local copy: the next push sends again what changed in the bucket meanwhile."""
        self.known = still_known(self.known, there)

    def local(self) -> dict[str, Stamp]:
        """Return the stamps of the files in the local copy."""
        return local_stamps(self.folder)

    def journal(self) -> bytes:
        """Return the complete lines of the local journal."""
        path = self.folder / JOURNAL
        return whole_lines(read_plain(path)) if path.is_file() else b""

    def _sent_stamp(self, name: str) -> Stamp:
        """Return a file's local stamp at its last transfer."""
        return self.known[name].local if name in self.known else NEVER

    def _send(self, name: str) -> None:
        path = _place(self.folder, name)
        try:
            stamp = _local_stamp(name, path.lstat())
            data = read_plain(path)
        except FileNotFoundError:  # deleted meanwhile
            return
        self.known[name] = Known(stamp, self.bucket.write(name, data))

    def _drop(self, name: str) -> None:
        self.bucket.remove(name)
        del self.known[name]

    def _take(self, name: str, there: Stamp) -> None:
        path = _place(self.folder, name)
        try:
            data = self.bucket.read(name)
        except FileNotFoundError:  # deleted meanwhile
            self._forget(name)
            return
        with atomic_file(path) as file:
            file.write(data)
        self.known[name] = Known(_local_stamp(name, path.stat()), there)

    def _forget(self, name: str) -> None:
        _place(self.folder, name).unlink(missing_ok=True)
        self.known.pop(name, None)

    def _each(self, call: Callable[[str], None], names: Iterable[str]) -> None:
        """Call `call` for all names in parallel; after a failure no further call is started."""
        with ThreadPoolExecutor(THREADS) as pool:
            futures = [pool.submit(call, name) for name in names]
            try:
                for future in futures:
                    future.result()
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise

    def _keep_state(self) -> None:
        files = {name: [*one.local, *one.there] for name, one in sorted(self.known.items())}
        write_json(self.folder / MIRROR, {"url": self.bucket.url, "files": files})


def local_stamps(folder: Path) -> dict[str, Stamp]:
    """Return the stamps of a study's mirrored files, by their names relative to its folder."""
    found = {}
    for path in _files(folder, ""):
        name = path.relative_to(folder).as_posix()
        try:
            found[name] = _local_stamp(name, path.lstat())
        except FileNotFoundError:
            continue
    return found


def _files(folder: Path, above: str) -> Iterator[Path]:
    try:
        entries = list(os.scandir(folder))
    except FileNotFoundError:
        return
    for entry in entries:
        name = f"{above}{entry.name}"
        if not is_mirrored(name):
            continue
        if entry.is_symlink():
            _warn(f"{entry.path}: a link, not sent")
        elif entry.is_dir():
            yield from _files(Path(entry.path), f"{name}/")
        elif entry.is_file():
            yield Path(entry.path)


def _place(folder: Path, name: str) -> Path:
    """Return a file's path in the local copy; raises RecordError if a folder in it is a link."""
    *folders, last = name.split("/")
    return path_inside(folder, *folders) / last


@cache
def _warn(text: str) -> None:
    """Warn once per process, because files are listed before and after each push."""
    log.warning("%s", text)


def _local_stamp(name: str, stat: os.stat_result) -> Stamp:
    """Return a file's stamp; for a journal, which only grows, the size suffices."""
    return stat.st_size, 0 if name == JOURNAL else stat.st_mtime_ns


def _read_state(path: Path, url: str) -> dict[str, Known]:
    """Return the files last transferred to or from this URL; empty if that is not known."""
    try:
        state: dict[str, Any] = parse_json(read_plain(path))
        if state["url"] != url:
            return {}
        return {n: Known((a, b), (c, d)) for n, (a, b, c, d) in state["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}

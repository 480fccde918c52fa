"""Scratch files and folders: locked while in use, removed if their process was killed."""

import contextlib
import fcntl
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

_TEMPORARY = re.compile(r"\.(.+)\.[a-z0-9_]{8}")  # `tempfile`'s name for a sibling of a file
LEFT_AFTER_S = 60.0  # a younger file may not be locked yet


@contextlib.contextmanager
def scratch_beside(path: Path) -> Iterator[Path]:
    """Create a scratch folder beside `path`, on the same disk, so that a rename can move results.

    Scratch folders that killed processes left for the same name are removed first.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep(path.parent, path.name)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        handle = os.open(folder, os.O_RDONLY)
        try:
            hold(handle)
            yield Path(folder)
        finally:
            os.close(handle)


def sweep(folder: Path, name: str | None = None) -> None:
    """Remove the temporary siblings of file `name`, or of any file, that killed writers left.

    Only entries of this user that are older than `LEFT_AFTER_S` and not locked are removed.
    """
    with contextlib.suppress(FileNotFoundError, NotADirectoryError, PermissionError):
        for entry in list(os.scandir(folder)):
            found = _TEMPORARY.fullmatch(entry.name)
            if found is not None and name in (None, found[1]) and _is_left(entry):
                _remove(Path(entry.path))


def _is_left(entry: os.DirEntry[str]) -> bool:
    """Return whether the entry is this user's, older than `LEFT_AFTER_S`, and not locked."""
    try:
        status = entry.stat(follow_symlinks=False)
        if entry.is_symlink() or status.st_uid != os.geteuid():
            return False
        if time.time() - status.st_mtime < LEFT_AFTER_S:
            return False
        handle = os.open(entry.path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # its writer still runs, or this file system has no locks
        return False
    finally:
        os.close(handle)
    return True


def hold(handle: int) -> None:
    """Lock a temporary file or folder while it is open; the lock ends with the process.

    If the file system has no locks, `sweep` removes nothing.
    """
    with contextlib.suppress(OSError):
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)

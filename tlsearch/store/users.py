"""Which arrays are in use: a process that uses one holds a lock file beside it while it runs."""

import contextlib
import uuid
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout


@contextlib.contextmanager
def mark_used(path: Path) -> Iterator[None]:
    """Mark the array at `path` as used: no process evicts it to make room until the block ends.

    The array need not exist yet.
    """
    name = path.with_name(f"{path.stem}.{uuid.uuid4().hex}.user")
    lock = FileLock(name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except OSError:  # nobody evicts from a read-only cache
        yield
        return
    try:
        yield
    finally:
        name.unlink(missing_ok=True)
        lock.release()


def is_used(path: Path) -> bool:
    """Whether a process uses the array; marks of dead processes are removed."""
    found = False
    for name in path.parent.glob(f"{path.stem}.*.user"):
        if is_free(name):
            name.unlink(missing_ok=True)
        else:
            found = True
    return found


def is_free(lock: Path) -> bool:
    """Whether no process holds this lock file."""
    try:
        with FileLock(lock, timeout=0):
            return True
    except (Timeout, FileNotFoundError) as error:
        return isinstance(error, FileNotFoundError)

"""Who uses an array at this moment: told by lock files beside it, which end with their process."""

import contextlib
import uuid
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout


@contextlib.contextmanager
def used(path: Path) -> Iterator[None]:
    """While the block runs, no process evicts the array at `path`, which need not be there yet, to
    make room for another.
    """
    name = path.with_name(f"{path.stem}.{uuid.uuid4().hex}.user")
    lock = FileLock(name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except OSError:  # nobody evicts from a cache that may only be read
        yield
        return
    try:
        yield
    finally:
        name.unlink(missing_ok=True)
        lock.release()


def is_used(path: Path) -> bool:
    """Whether a process uses the array; what dead ones left is taken away."""
    found = False
    for name in path.parent.glob(f"{path.stem}.*.user"):
        if free(name):
            name.unlink(missing_ok=True)
        else:
            found = True
    return found


def free(lock: Path) -> bool:
    """Whether no process holds this lock file."""
    try:
        with FileLock(lock, timeout=0):
            return True
    except (Timeout, FileNotFoundError) as error:
        return isinstance(error, FileNotFoundError)

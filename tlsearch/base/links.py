"""Access to folders that others may have written, without following symbolic links in them."""

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from tlsearch.base.errors import RecordError


def refuse_link(path: Path) -> None:
    """Raise RecordError if the path is a symbolic link, whatever its target."""
    if path.is_symlink():
        raise RecordError(f"{path}: a link, which is not followed; replace it with its target")


def path_inside(root: Path, *names: str) -> Path:
    """Return a path below `root`; raises RecordError if one of the names is a symbolic link.

    `root` itself may be reached through links.
    """
    path = root
    for name in names:
        path = path / name
        refuse_link(path)
    return path


@contextlib.contextmanager
def append_only(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for appending, creating it if missing; a symbolic link is replaced by a file."""
    if path.is_symlink():
        path.unlink()
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
    with os.fdopen(os.open(path, flags, 0o666), "ab") as file:
        yield file


def read_plain(path: Path, most_bytes: int | None = None) -> bytes:
    """Return a file's content.

    Raises RecordError if it is a link, not a regular file, or larger than `most_bytes`, and the
    errors of `open`. Opening a pipe does not block.
    """
    refuse_link(path)
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(handle, "rb") as file:
        about = os.fstat(handle)
        if not stat.S_ISREG(about.st_mode):
            raise RecordError(f"{path}: not a regular file")
        if most_bytes is not None and about.st_size > most_bytes:
            raise RecordError(f"{path}: {about.st_size} bytes, at most {most_bytes} are read")
        return file.read()

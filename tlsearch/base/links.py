"""No link inside a folder that others may have written is followed."""

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from tlsearch.base.errors import RecordError


def refuse_link(path: Path) -> None:
    """Raise RecordError where this is a link, whatever it leads to."""
    if path.is_symlink():
        raise RecordError(
            f"{path}: a link, which is not followed; put what it leads to in its place"
        )


def inside(root: Path, *names: str) -> Path:
    """A place below a folder; RecordError where one of the names is a link. The folder itself may
    lie behind links.
    """
    path = root
    for name in names:
        path = path / name
        refuse_link(path)
    return path


@contextlib.contextmanager
def append_only(path: Path) -> Iterator[IO[bytes]]:
    """A file to append to, begun where there is none; it takes the place of a link."""
    if path.is_symlink():
        path.unlink()
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
    with os.fdopen(os.open(path, flags, 0o666), "ab") as file:
        yield file


def read_plain(path: Path, most_bytes: int | None = None) -> bytes:
    """A file's content; RecordError where it is a link, no regular file, or holds more.

    A pipe is not waited for. Raises what `open` raises besides.
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

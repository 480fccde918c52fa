"""Atomic file writes (temporary sibling, flush, fsync, rename), JSON, and disk errors."""

import contextlib
import errno
import json
import math
import os
import struct
import tempfile
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from tlsearch.base.errors import ConfigError, DiskError
from tlsearch.base.leftovers import hold

# Errors of reading a damaged `.npz`: a single flipped bit can surface in zipfile, zlib or NumPy.
DAMAGED_ARCHIVE = (
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    OverflowError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)

# Error codes of a disk that cannot be written to -> what to do about them.
_REMEDIES: dict[int | None, str] = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "free disk space there"),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "make it writable"),
    **dict.fromkeys((errno.EFBIG, errno.EIO), "check the disk"),
}


@contextlib.contextmanager
def atomic_file(path: Path, follow: bool = False) -> Iterator[IO[bytes]]:
    """Open a binary file for writing; it gets its name only if the block ends without an error.

    If `path` is a symbolic link, the new file replaces the link and leaves its target alone. Pass
    `follow` for a path that the user named: then the link's target is replaced, and a device or a
    pipe is written to directly, since a regular file in its place would be useless.
    """
    if follow and is_special(path):
        with path.open("wb") as file:
            yield file
        return
    path = path.resolve() if follow else path
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with path_in_errors(path), os.fdopen(handle, "w+b") as file:
            hold(handle)
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def absolute_path(path: Path) -> Path:
    """Return an absolute path, `~` expanded; raises ConfigError if `~` has no home directory."""
    try:
        return path.expanduser().absolute()
    except RuntimeError:  # `~NAME` names no user, or `~` alone has no home directory
        raise ConfigError([f"found {path}, but there is no home directory for ~ in it"]) from None


Stamp = tuple[int, int, int]  # inode, size in bytes, modification time in nanoseconds


def stamp(path: Path) -> Stamp:
    """Return a stamp of a file that differs once the file is replaced or modified."""
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


def parse_json(text: str | bytes) -> Any:
    """Parse untrusted JSON; raises ValueError for invalid text, deep nesting, NaN and infinity."""
    try:
        return json.loads(text, parse_constant=_finite, parse_float=_finite)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _finite(number: str) -> float:
    value = float(number)
    if not math.isfinite(value):
        raise ValueError(f"found {number}, expected a finite number")
    return value


@contextlib.contextmanager
def path_in_errors(path: Path) -> Iterator[None]:
    """Add this path to an OSError of the block that names no file, such as that of a full disk."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:
            error.filename = str(path)
        raise


def disk_error(error: OSError) -> DiskError | None:
    """Return the DiskError for an OSError of a disk that cannot be written; None for others."""
    if (remedy := _REMEDIES.get(error.errno)) is None:
        return None
    where = error.filename or "a temporary file"
    return DiskError(f"{where}: {error.strerror}; {remedy}, or choose another path")


def is_special(path: Path) -> bool:
    """Return whether the path exists but is neither a file nor a folder, such as `/dev/null`."""
    return path.exists() and not path.is_file() and not path.is_dir()


def create_private_file(path: Path, text: str) -> None:
    """Create a file that only its owner can read, in a folder that only its owner can open.

    An existing file keeps its text; other users lose access to it and to its folder.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.parent.chmod(0o700)
    if not path.exists():
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # 0600
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
            with contextlib.suppress(FileExistsError):  # another process created it meanwhile
                os.link(temporary, path)
        finally:
            os.unlink(temporary)
    path.chmod(0o600)


def write_text(path: Path, text: str, follow: bool = False) -> None:
    """Write a UTF-8 text file atomically; `follow` is that of `atomic_file`."""
    with atomic_file(path, follow) as file:
        file.write(text.encode("utf-8"))


def write_json(path: Path, value: object) -> None:
    """Write an indented JSON file atomically, keys in the given order."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask

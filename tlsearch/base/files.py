"""Files that appear whole or not at all (temporary sibling, flush, fsync, rename)."""

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

# What reading a damaged `.npz` raises, where a single flipped bit reaches zipfile, zlib or NumPy.
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

# What a disk says that takes no more.
_UNWRITABLE = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO}
)


@contextlib.contextmanager
def whole_file(path: Path, follow: bool = False) -> Iterator[IO[bytes]]:
    """A binary file to write; it takes its name only when the block ends without an error.

    It replaces a link, never the file that the link leads to. With `follow`, for a place that the
    user named, a link stays a link, and a device or a pipe is written into: a file in its place
    would be of no use to anybody.
    """
    if follow and is_special(path):
        with path.open("wb") as file:
            yield file
        return
    path = path.resolve() if follow else path
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with naming(path), os.fdopen(handle, "w+b") as file:
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


def absolute(path: Path) -> Path:
    """An absolute path, with `~` expanded; ConfigError where `~NAME` names no user."""
    try:
        return path.expanduser().absolute()
    except RuntimeError:  # also where ~ alone is not known
        raise ConfigError([f"found {path}, but there is no home directory for ~ in it"]) from None


Stamp = tuple[int, int, int]  # inode, bytes, and nanoseconds of the last change


def stamp(path: Path) -> Stamp:
    """What tells a file from the one that was there before, or from itself before a change."""
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


def parse_json(text: str | bytes) -> Any:
    """JSON that others wrote; ValueError for any text that is none, and for numbers beyond all."""
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
def naming(path: Path) -> Iterator[None]:
    """Have an OSError of the block name this file where it names none, as those of a full disk."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:
            error.filename = str(path)
        raise


def disk_error(error: OSError) -> DiskError | None:
    """What to say of a file that cannot be written; None where an error is of another kind."""
    if error.errno not in _UNWRITABLE:
        return None
    where = error.filename or "a temporary file"
    return DiskError(f"{where}: {error.strerror}; make room there, or give another place")


def is_special(path: Path) -> bool:
    """Whether something is there that is neither a file nor a folder, as `/dev/null`."""
    return path.exists() and not path.is_file() and not path.is_dir()


def private_file(path: Path, text: str) -> None:
    """A file that its owner alone can read, in a folder that its owner alone can open.

    One that is there keeps its text; what others could read or open is closed to them.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.parent.chmod(0o700)
    if not path.exists():
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # 0600
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
            with contextlib.suppress(FileExistsError):  # of a process that began as this one did
                os.link(temporary, path)
        finally:
            os.unlink(temporary)
    path.chmod(0o600)


def write_text(path: Path, text: str, follow: bool = False) -> None:
    """Write a whole text file, UTF-8; `follow` as in `whole_file`."""
    with whole_file(path, follow) as file:
        file.write(text.encode("utf-8"))


def write_json(path: Path, value: object) -> None:
    """Write a whole JSON file, indented, in the order given."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask

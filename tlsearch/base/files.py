"""Files that appear whole or not at all: temporary sibling, flush, fsync, rename."""

import contextlib
import errno
import fcntl
import json
import math
import os
import re
import shutil
import struct
import sysconfig
import tempfile
import time
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from tlsearch.base.errors import ConfigError, DiskError

# The installed package: its code, and the files that travel with it.
PACKAGE = Path(__file__).parents[1]

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

_TEMPORARY = re.compile(r"\.(.+)\.[a-z0-9_]{8}")  # as `tempfile` names a sibling of a file
LEFT_AFTER_S = 60.0  # a younger one may not be locked yet


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """A binary file to write; it takes its name only when the block ends without an error.

    A device or a pipe is written into: a file in its place would be of no use to anybody.
    """
    if is_special(path):
        with path.open("wb") as file:
            yield file
        return
    path = path.resolve()  # a link stays a link
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with naming(path), os.fdopen(handle, "w+b") as file:
            _hold(handle)
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


def without_places(text: str) -> str:
    """A text that travels with a study, without folders of this machine: `~` for the user's own,
    nothing for those of Python and its packages.
    """
    paths = sysconfig.get_paths()
    for folder in (str(PACKAGE.parent), paths["purelib"], paths["platlib"], paths["stdlib"]):
        text = text.replace(f"{folder}/", "")
    home = os.path.expanduser("~")
    return text.replace(f"{home}/", "~/") if len(home) > 1 else text


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Have an OSError of the block name this file where it names none, as those of a full disk."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:
            error.filename = str(path)
        raise


@contextlib.contextmanager
def scratch_beside(path: Path) -> Iterator[Path]:
    """A scratch folder on the same disk, so that what is finished can be moved by name; those that
    killed processes left for the same name go.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep(path.parent, path.name)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        handle = os.open(folder, os.O_RDONLY)
        try:
            _hold(handle)
            yield Path(folder)
        finally:
            os.close(handle)


def sweep(folder: Path, name: str | None = None) -> None:
    """Remove what killed writers left in a folder: temporary siblings of the file `name`, or of any
    file, that are this user's and that no living process holds.
    """
    with contextlib.suppress(FileNotFoundError, NotADirectoryError, PermissionError):
        for entry in list(os.scandir(folder)):
            found = _TEMPORARY.fullmatch(entry.name)
            if found is not None and name in (None, found[1]) and _is_left(entry):
                _remove(Path(entry.path))


def _is_left(entry: os.DirEntry[str]) -> bool:
    """Whether it is ours, not of this minute, and nobody's any more."""
    try:
        told = entry.stat(follow_symlinks=False)
        if entry.is_symlink() or told.st_uid != os.geteuid():
            return False
        if time.time() - told.st_mtime < LEFT_AFTER_S:
            return False
        handle = os.open(entry.path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # its writer lives, or this disk knows no locks
        return False
    finally:
        os.close(handle)
    return True


def _hold(handle: int) -> None:
    """Lock a temporary file or folder for as long as it is open: the lock falls with its process.

    Where a disk knows no locks, `sweep` leaves everything.
    """
    with contextlib.suppress(OSError):
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


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


def write_text(path: Path, text: str) -> None:
    """Write a whole text file, UTF-8."""
    with whole_file(path) as file:
        file.write(text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write a whole JSON file, indented, in the order given."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask

"""Files that appear whole or not at all (temporary sibling, flush, fsync, rename), and digests."""

import contextlib
import errno
import fcntl
import hashlib
import json
import math
import os
import re
import shutil
import stat
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

from tlsearch.base.errors import ConfigError, DiskError, RecordError

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


def write_text(path: Path, text: str, follow: bool = False) -> None:
    """Write a whole text file, UTF-8; `follow` as in `whole_file`."""
    with whole_file(path, follow) as file:
        file.write(text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write a whole JSON file, indented, in the order given."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


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


def sha256(path: Path) -> str:
    """The digest of a file; of a folder, that of its files' names and contents in order."""
    digest = hashlib.sha256()
    for file in files_of(path):
        if path.is_dir():
            digest.update(file.relative_to(path).as_posix().encode() + b"\0")
        with file.open("rb") as content:
            while chunk := content.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()


def size(path: Path) -> int:
    """Bytes of a file, or of all files of a folder."""
    return sum(file.stat().st_size for file in files_of(path))


def files_of(path: Path) -> Iterator[Path]:
    """The file itself, or every file of a folder in order."""
    if path.is_dir():
        yield from sorted(p for p in path.rglob("*") if p.is_file())
    else:
        yield path


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask

"""Files that appear whole or not at all: temporary sibling, flush, fsync, rename."""

import contextlib
import json
import math
import os
import sysconfig
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from tlsearch.base.errors import ConfigError

# The installed package: its code, and the files that travel with it.
PACKAGE = Path(__file__).parents[1]

# What reading a damaged `.npz` raises.
DAMAGED_ARCHIVE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)


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
        with os.fdopen(handle, "w+b") as file:
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

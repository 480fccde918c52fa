"""Checks of a data set's path; errors say what was found there and what to do."""

from pathlib import Path

from tlsearch.base.errors import DataError
from tlsearch.base.files import absolute_path
from tlsearch.base.shown_text import to_storable

_UNTAR = 'mkdir -p "{folder}" && tar -xf "{path}" -C "{folder}"'

# Suffix of a packed archive -> the command that unpacks it; the longest matching suffix counts.
_UNPACK = {
    ".zip": 'unzip "{path}" -d "{folder}"',
    ".7z": '7z x "{path}" -o"{folder}"',
    ".rar": 'unrar x "{path}" "{folder}/"',
    ".tar": _UNTAR,
    ".tar.gz": _UNTAR,
    ".tgz": _UNTAR,
    ".tar.xz": _UNTAR,
    ".txz": _UNTAR,
    ".tar.bz2": _UNTAR,
    ".tbz2": _UNTAR,
    ".tar.zst": _UNTAR,
}


def folder_at(path: Path, holds: str) -> Path:
    """The folder as an absolute path; raises DataError if the path is not a folder."""
    path = _require_utf8(path)
    if path.is_file():
        raise DataError(f"{path}: {_not_a_folder(path, holds)}")
    if not path.is_dir():
        raise DataError(f"{path}: no such folder; expected a folder that holds {holds}")
    return path


def file_at(path: Path, holds: str) -> Path:
    """The file as an absolute path; raises DataError if it is not a file or is a packed archive."""
    path = _require_utf8(path)
    if path.is_dir():
        raise DataError(f"{path}: a folder; expected a file that holds {holds}")
    if not path.is_file():
        raise DataError(f"{path}: no such file; expected a file that holds {holds}")
    if _ending(path):
        raise DataError(f"{path}: {_archive_hint(path)}")
    return path


def _require_utf8(path: Path) -> Path:
    path = absolute_path(path)
    if to_storable(path) != str(path):  # the record of a study contains the path
        raise DataError(f"{to_storable(path)}: the path is not UTF-8; rename it")
    return path


def file_version(file: Path) -> str:
    """The size and modification time of a file, which change when the file does.

    "" for a missing file, such as the target of a broken link; decoding reports it.
    """
    try:
        stat = file.stat()
    except OSError:
        return ""
    return f"{stat.st_size}-{stat.st_mtime_ns}"


def _not_a_folder(path: Path, holds: str) -> str:
    if _ending(path):
        return _archive_hint(path)
    if path.suffix.lower() == ".csv":
        return f"a file; kind: csv reads it, kind: folder expects a folder that holds {holds}"
    return f"a file; expected a folder that holds {holds}"


def _archive_hint(path: Path) -> str:
    ending = _ending(path)
    folder = path.with_name(path.name[: -len(ending)])
    command = _UNPACK[ending].format(path=path, folder=folder)
    return f"a packed archive; unpack it and give the folder as path: {command}"


def _ending(path: Path) -> str:
    """The archive suffix of a name, "" if it has none."""
    name = path.name.lower()
    return max((ending for ending in _UNPACK if name.endswith(ending)), key=len, default="")

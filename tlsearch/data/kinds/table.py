"""Images listed in a CSV table, one row per picture: `path,label` or `path,label,split`."""

import csv
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from tlsearch.base.errors import DataError
from tlsearch.config.dataset import SPLIT_NAMES
from tlsearch.config.spelling import did_you_mean
from tlsearch.data.listing import Example, Listing, Split
from tlsearch.data.mistakes import mistakes_error
from tlsearch.data.paths import file_at, file_version, folder_at


@dataclass(frozen=True)
class _Row:
    """One row of the table; `line` is its last line, `wrong` its problem, "" if it has none."""

    line: int
    path: str = ""
    label: str = ""
    split: str = ""
    wrong: str = ""

    @property
    def means(self) -> tuple[str, Split | None]:
        """The label and the split of the picture."""
        return self.label, SPLIT_NAMES.get(self.split.lower())


def list_csv(path: Path, root: Path | None = None) -> Listing:
    """List the pictures of a table; their paths are relative to `root`, else to the table's folder.

    Raises DataError that lists the mistakes of the table by line. A repeated row counts once.
    """
    path = file_at(path, "a table of path,label")
    below = path.parent if root is None else path.parent / root.expanduser()
    below = folder_at(below, "the pictures of the table")
    rows = [replace(row, path=_from(below, row.path)) for row in _rows(path)]
    if not rows:
        raise DataError(f"{path}: no rows below the header")
    mistakes = [(row.line, why) for row in rows for why in _mistakes(row, below)]
    mistakes += _contradictions(rows)
    if mistakes:
        raise mistakes_error([f"{path}:{line}: {why}" for line, why in sorted(mistakes)])
    classes = tuple(sorted({row.label for row in rows}))
    labels = {name: label for label, name in enumerate(classes)}
    found = {row.path: _example(row, below, labels) for row in rows}
    examples = sorted(found.values(), key=lambda example: example.key)
    return Listing(str(path), classes, examples, lambda: (below / e.key for e in examples))


def _rows(path: Path) -> list[_Row]:
    try:
        # Excel writes a byte order mark. Quoted fields may hold line breaks, which stay unchanged.
        with path.open(encoding="utf-8-sig", newline="") as file:
            return list(_read(path, file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as a UTF-8 table ({error})") from error


def _read(path: Path, lines: Iterator[str]) -> Iterator[_Row]:
    header = next(lines, "")
    separator = max(",;\t", key=header.count)
    names = [name.strip().lower() for name in next(csv.reader([header], delimiter=separator), [])]
    if not {"path", "label"} <= set(names):
        found = ", ".join(names) or "nothing"
        raise DataError(f"{path}:1: found the columns {found}; expected path, label[, split]")
    if twice := next((name for name in names if name and names.count(name) > 1), ""):
        raise DataError(f"{path}:1: the column {twice} appears twice")
    reader = csv.reader(lines, delimiter=separator)
    for fields in filter(None, reader):  # skips empty lines
        line = reader.line_num + 1
        if len(fields) == len(names):
            yield _row(line, dict(zip(names, fields, strict=True)))
        else:
            yield _Row(line, wrong=f"found {len(fields)} fields, expected {len(names)}")


def _from(below: Path, path: str) -> str:
    """The path relative to `below` if inside, so that its split is the same on every machine."""
    if not os.path.isabs(path):
        return path
    start = os.path.normpath(below)
    return os.path.relpath(path, start) if Path(path).is_relative_to(start) else path


def _row(line: int, fields: Mapping[str, str]) -> _Row:
    path, label, split = (fields.get(name, "").strip() for name in ("path", "label", "split"))
    return _Row(line, os.path.normpath(path.replace("\\", "/")) if path else "", label, split)


def _mistakes(row: _Row, below: Path) -> Iterator[str]:
    if row.wrong:
        yield row.wrong
        return
    if not row.path:
        yield "an empty path"
    elif not (below / row.path).is_file():
        there = (below / row.path).exists()
        yield f"{below / row.path}: {'not a file' if there else 'no such file'}"
    if not row.label:
        yield "an empty label"
    if row.split and row.split.lower() not in SPLIT_NAMES:
        yield f"unknown split '{row.split}', {did_you_mean(row.split, SPLIT_NAMES)}"


def _contradictions(rows: list[_Row]) -> Iterator[tuple[int, str]]:
    first: dict[str, _Row] = {}
    for row in rows:
        before = first.setdefault(row.path, row)
        if row.path and row.means != before.means:
            what = "label" if row.label != before.label else "split"
            yield row.line, f"{row.path}: another {what} than in line {before.line}"


def _example(row: _Row, below: Path, labels: Mapping[str, int]) -> Example:
    label, split = row.means
    return Example(row.path, labels[label], split, file_version(below / row.path))

"""Rows of a benchmark that runs in parts: a row that was measured is not measured again."""

import argparse
import json
import math
import os
import statistics
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from machine import about

Row = dict[str, Any]


class Measured:
    """Rows by name, written to a JSON file one by one and read back from it.

    A file with other settings is refused.
    """

    def __init__(self, path: Path | None, settings: dict[str, Any]) -> None:
        self._path, self._settings = path, settings
        self._rows: dict[str, Row] = {}
        if path is not None and path.is_file():
            saved = json.loads(path.read_text())
            if saved["settings"] != settings:
                raise SystemExit(f"{path}: measured with {saved['settings']}, not with {settings}")
            self._rows = saved["rows"]

    @property
    def rows(self) -> list[Row]:
        """All rows, including those of earlier runs."""
        return list(self._rows.values())

    @property
    def names(self) -> list[str]:
        """The names of all rows."""
        return list(self._rows)

    def drop(self, which: Callable[[Row], bool]) -> None:
        """Forget some rows, so that they are measured again."""
        self._rows = {name: row for name, row in self._rows.items() if not which(row)}

    def take(self, name: str, measure: Callable[[], Row]) -> None:
        """Measure a row unless it is already there."""
        if name not in self._rows:
            self._rows[name] = measure()
            print(f"{name}: {self._rows[name]}", file=sys.stderr, flush=True)
            if self._path is not None:
                text = about() | {"settings": self._settings, "rows": self._rows}
                self._path.write_text(json.dumps(text, indent=2) + "\n")


def in_pieces(about_it: str) -> argparse.ArgumentParser:
    """Return the argument parser of a benchmark that runs by data set and by seed."""
    parser = argparse.ArgumentParser(description=about_it.splitlines()[0])
    parser.add_argument("data", type=Path, nargs="*")
    parser.add_argument("--classes", type=json.loads, help="data.classes of a space, as JSON")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--backbone", default="mobilenet_v2_035")
    parser.add_argument("--px", type=int, default=128)
    parser.add_argument("--cpus", type=int, default=os.cpu_count())
    parser.add_argument("--json", type=Path)
    return parser


def layers(text: str) -> list[int | str]:
    """Parse numbers of unfrozen layers: `0,40,all`."""
    return [word if word == "all" else int(word) for word in text.split(",")]


def grouped(rows: Sequence[Row], *names: str) -> dict[tuple[Any, ...], list[Row]]:
    """Group rows by their values of these names, in the order of the rows."""
    groups: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in rows:
        groups[tuple(row[name] for name in names)].append(row)
    return groups


def against(group: list[Row], reference: list[Row]) -> Row:
    """Return the mean accuracy over the seeds and its gain over the reference of the same seeds.

    `points` is the gain in percentage points, `error` its standard error over the seeds.
    """
    theirs = {row["seed"]: row["accuracy"] for row in reference}
    gaps = [100 * (x["accuracy"] - theirs[x["seed"]]) for x in group if x["seed"] in theirs]
    error = statistics.stdev(gaps) / len(gaps) ** 0.5 if len(gaps) > 1 else math.nan
    points = statistics.mean(gaps) if gaps else math.nan
    accuracy = statistics.mean(row["accuracy"] for row in group)
    return {"accuracy": accuracy, "points": points, "error": error}

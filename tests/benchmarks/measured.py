"""Rows of a benchmark that runs in pieces: what was measured is not measured again."""

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
    """Rows by name, written to a JSON file one by one and taken up from there.

    A file of other settings is refused.
    """

    def __init__(self, path: Path | None, settings: dict[str, Any]) -> None:
        self._path, self._settings = path, settings
        self._rows: dict[str, Row] = {}
        if path is not None and path.is_file():
            told = json.loads(path.read_text())
            if told["settings"] != settings:
                raise SystemExit(f"{path}: measured with {told['settings']}, not with {settings}")
            self._rows = told["rows"]

    @property
    def rows(self) -> list[Row]:
        """All there are, those of earlier pieces too."""
        return list(self._rows.values())

    @property
    def names(self) -> list[str]:
        """The names of all rows."""
        return list(self._rows)

    def drop(self, which: Callable[[Row], bool]) -> None:
        """Forget some rows, so that they are measured again."""
        self._rows = {name: row for name, row in self._rows.items() if not which(row)}

    def take(self, name: str, measure: Callable[[], Row]) -> None:
        """Measure a row that is not there yet."""
        if name not in self._rows:
            self._rows[name] = measure()
            print(f"{name}: {self._rows[name]}", file=sys.stderr, flush=True)
            if self._path is not None:
                text = about() | {"settings": self._settings, "rows": self._rows}
                self._path.write_text(json.dumps(text, indent=2) + "\n")


def in_pieces(about_it: str) -> argparse.ArgumentParser:
    """The arguments of a benchmark that runs data set by data set, seed by seed."""
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
    """Numbers of unfrozen layers: `0,40,all`."""
    return [word if word == "all" else int(word) for word in text.split(",")]


def grouped(rows: Sequence[Row], *names: str) -> dict[tuple[Any, ...], list[Row]]:
    """Rows by what they say of these, in their order."""
    groups: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in rows:
        groups[tuple(row[name] for name in names)].append(row)
    return groups


def against(group: list[Row], reference: list[Row]) -> Row:
    """The seeds' mean accuracy, and how much more it is than the reference's of the same seeds:
    `points`, of a hundred, and their standard `error` over the seeds.
    """
    theirs = {row["seed"]: row["accuracy"] for row in reference}
    gaps = [100 * (x["accuracy"] - theirs[x["seed"]]) for x in group if x["seed"] in theirs]
    error = statistics.stdev(gaps) / len(gaps) ** 0.5 if len(gaps) > 1 else math.nan
    points = statistics.mean(gaps) if gaps else math.nan
    accuracy = statistics.mean(row["accuracy"] for row in group)
    return {"accuracy": accuracy, "points": points, "error": error}

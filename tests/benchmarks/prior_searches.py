"""The time that a method takes, in real searches, to reach the result of `asha` without a prior.

    KERAS_HOME=... python tests/benchmarks/prior_searches.py DATA... [--seeds 3] [--trials 20]
        [--only NAME ...] [--json OUT]

DATA are folders with one folder of images per class. For every data set and seed, a search with
`asha` and no prior sets the validation accuracy to reach. Every other method searches the same
space with the same seed, in a new study and with a cache that holds only the decoded images, and is
interrupted once it has reached this accuracy. `seconds` count from the proposal of the first trial,
so neither Ray's start nor the reading of images counts; `epochs` is the number of epochs that all
trials had reported by then, which other load on the machine does not change. A search that never
reaches the accuracy counts with its whole length, marked `never`. `gain` is the summed seconds of
the searches with `asha` divided by those of the method. With --json every search is saved as soon
as it ends and is not repeated, so the benchmark can be interrupted and continued.
"""

import argparse
import functools
import json
import shutil
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

from measured import Measured, Row, in_pieces

import tlsearch
from tlsearch.config.load import from_mapping
from tlsearch.config.networks.unfreezing import RATES
from tlsearch.results.live.events import EpochReported, Event, Exporting, TrialBegan

BASE = "asha"
METHODS: dict[str, dict[str, str]] = {
    BASE: {"scheduler": "asha", "prior": "off"},
    "promotion": {"scheduler": "promotion", "prior": "off"},
    "prior + asha": {"scheduler": "asha", "prior": "auto"},
    "prior + promotion": {"scheduler": "promotion", "prior": "auto"},
}
SPACE = {
    "backbone": ["mobilenet_v2_035", "mobilenet_v2"],
    "unfrozen_layers": [0, 15, 40],
    "head_units": ["none", 128],
    "dropout": {"low": 0.0, "high": 0.5},
    "weight_decay": [0.0, 1e-4, 1e-2],
    "batch_size": [16, 32, 64],
}


DECODED = ("images", "audits", "depths", "hashes")  # what a cache holds before the first trial


class Progress:
    """Records when a search reports a new best validation accuracy.

    Interrupts the search once it has reached `goal`, or else before it exports a model.
    """

    def __init__(self, goal: float | None) -> None:
        self.goal = goal
        self.began: float | None = None
        self.epochs = 0
        self.seconds = 0.0
        self.steps: list[tuple[float, int, float]] = []  # seconds, epochs, accuracy
        self.best: dict[str, Any] = {}  # the configuration of the last step
        self._proposals: dict[int, dict[str, Any]] = {}
        self.ended = False

    def hear(self, event: Event) -> None:
        if isinstance(event, TrialBegan):
            self.began = time.monotonic() if self.began is None else self.began
            self._proposals[event.trial] = dict(event.config)
        if isinstance(event, EpochReported) and self.began is not None and not self.ended:
            self.epochs += 1
            self.seconds = time.monotonic() - self.began
            if event.epoch > 0 and (not self.steps or event.value > self.steps[-1][2]):
                self.steps.append((self.seconds, self.epochs, event.value))
                self.best = self._proposals[event.trial]
        if not self.ended and (isinstance(event, Exporting) or self._reached):
            self.ended = True
            signal.raise_signal(signal.SIGINT)

    @property
    def _reached(self) -> bool:
        return self.goal is not None and bool(self.steps) and self.steps[-1][2] >= self.goal


def search(
    source: Path,
    cache: Path,
    seed: int,
    method: str,
    goal: float | None,
    arguments: argparse.Namespace,
) -> Row:
    """Run one search; return its best accuracies in order of time."""
    began, progress = time.monotonic(), Progress(goal)
    for entry in cache.glob("*"):
        if entry.name not in DECODED:
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    data = {"kind": "folder", "path": str(source), "image_px": arguments.px}
    with tempfile.TemporaryDirectory(prefix="prior-") as folder:
        config = from_mapping(
            {
                "data": data | ({"classes": arguments.classes} if arguments.classes else {}),
                "space": SPACE,
                "epochs": 9,
                "trials": arguments.trials,
                "confirm": 0,
                "seed": seed,
                "cache": str(cache),
                **METHODS[method],
            }
        )
        study = tlsearch.run(config, Path(folder) / "study", listen=progress.hear)
    if study.ended_by is not None and not progress.ended:
        raise SystemExit(f"{source.name} {seed} {method}: {study.ended_by}")
    return {"data": source.name, "seed": seed, "method": method} | {
        "steps": progress.steps,
        "best": {name: progress.best[name] for name in (*SPACE, *RATES)},
        "whole": (progress.seconds, progress.epochs),
        "took": time.monotonic() - began,
    }


def main() -> None:
    arguments = _arguments()
    names = [source.name for source in arguments.data]
    settings = {"trials": arguments.trials, "px": arguments.px, "space": json.dumps(SPACE)}
    measured = Measured(arguments.json, settings)
    with tempfile.TemporaryDirectory(prefix="prior-") as caches:
        _measure(measured, Path(caches), arguments)
    _print([row for row in measured.rows if not names or row["data"] in names])


def _measure(measured: Measured, caches: Path, arguments: argparse.Namespace) -> None:
    for seed in range(arguments.seeds):
        for source in arguments.data:
            for method in dict.fromkeys([BASE, *arguments.only]):
                goal = None if method == BASE else _goal(measured, source.name, seed)
                cache = caches / source.name
                searched = functools.partial(search, source, cache, seed, method, goal, arguments)
                measured.take(f"{source.name} {seed} {method}", searched)


def _goal(measured: Measured, name: str, seed: int) -> float:
    """Return the final accuracy of the search with `asha`."""
    [row] = [
        row
        for row in measured.rows
        if (row["data"], row["seed"], row["method"]) == (name, seed, BASE)
    ]
    return float(row["steps"][-1][2])


def reached(row: Row, accuracy: float) -> tuple[float, int, bool]:
    """Return seconds and epochs until a search reached an accuracy, and whether it did.

    A search that never did counts with all its seconds and epochs.
    """
    found = next((step for step in row["steps"] if step[2] >= accuracy), None)
    return (*row["whole"], False) if found is None else (found[0], found[1], True)


def _print(rows: list[Row]) -> None:
    print(f"{'data':<16}{'method':<20}{'best':>18}{'seconds to it':>24}{'epochs':>14}{'gain':>8}")
    for name in dict.fromkeys(row["data"] for row in rows):
        own = [row for row in rows if row["data"] == name]
        goals = {row["seed"]: row["steps"][-1] for row in own if row["method"] == BASE}
        for method in dict.fromkeys(row["method"] for row in own):
            mine = [row for row in own if row["method"] == method]
            print(f"{name:<16}{method:<20}{_cells(mine, goals)}")


def _cells(rows: list[Row], goals: dict[int, Any]) -> str:
    took = [reached(row, goals[row["seed"]][2]) for row in rows]
    gain = sum(goals[row["seed"]][0] for row in rows) / sum(seconds for seconds, _, _ in took)
    best = " ".join(f"{row['steps'][-1][2]:.3f}" for row in rows)
    times = " ".join(
        f"{seconds:.0f}" if got else f"({seconds:.0f} never)" for seconds, _, got in took
    )
    epochs = " ".join(f"{count}" for _, count, _ in took)
    return f"{best:>18}{times:>24}{epochs:>14}{gain:>8.2f}"


def _arguments() -> argparse.Namespace:
    parser = in_pieces(__doc__)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--only", nargs="+", choices=METHODS, default=list(METHODS), metavar="NAME")
    return parser.parse_args()


if __name__ == "__main__":
    main()

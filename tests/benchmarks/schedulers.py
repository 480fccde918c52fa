"""What each scheduler finds for equal epochs, replayed on recorded fine-tuning curves.

    python tests/benchmarks/schedulers.py TABLE_DIR [--slots N] [--seeds S] [--trials T]
        [--epochs E] [--budgets B ...] [--json OUT]

TABLE_DIR holds `*.json.gz` files, one a data set: {"runs": [{"accuracy": [per cent, by epoch],
"seconds": [by epoch]}]}. A replay draws runs in random order, trains them in N slots that take each
run's own seconds, and asks the schedulers of tlsearch after every epoch. Regret: the best accuracy
within E epochs of any run of the data set, less the best seen after B epochs in all. Runs shorter
than E epochs are left out, and so are data sets with fewer than 40 others.
"""

import argparse
import gzip
import heapq
import json
import random
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Protocol

from tlsearch.config.load import parse
from tlsearch.search.stop.ray_scheduler import build_scheduler

FEWEST_RUNS = 40
BASE = "asha"


@dataclass(frozen=True)
class Run:
    """A recorded run: accuracy in per cent and seconds, by epoch."""

    accuracy: Sequence[float]
    seconds: Sequence[float]


class Rule(Protocol):
    """Which run trains next in a free slot, and whether it keeps the slot after an epoch."""

    def next(self) -> int | None:
        """The number of a run to begin or to go on with, None where there is none now."""

    def goes_on(self, number: int, epoch: int, accuracy: float) -> bool:
        """Whether the run trains another epoch at once."""


@dataclass
class Ours:
    """A scheduler of tlsearch: a run trains until it is stopped."""

    written: str
    epochs: int
    waiting: list[int]
    seed: int

    def __post_init__(self) -> None:
        text = f"{{data: {{kind: digits}}, epochs: {self.epochs}, seed: {self.seed}}}"
        self.scheduler = build_scheduler(
            parse(text, settings=[f"scheduler={self.written}"]), [], {}
        )

    def next(self) -> int | None:
        return self.waiting.pop(0) if self.waiting else None

    def goes_on(self, number: int, epoch: int, accuracy: float) -> bool:
        trial = SimpleNamespace(config={"number": number}, trial_id=str(number))
        result = {"epoch": epoch, "value": accuracy}
        decision = self.scheduler.on_trial_result(None, trial, result)
        return epoch < self.epochs and decision == "CONTINUE"


class Promoting(Ours):
    """The same, but a stopped run is taken up again once it is due."""

    def next(self) -> int | None:
        number = self.scheduler.promote()
        return super().next() if number is None else number

    def goes_on(self, number: int, epoch: int, accuracy: float) -> bool:
        kept = super().goes_on(number, epoch, accuracy)
        if not kept:
            trial = SimpleNamespace(config={"number": number}, trial_id=str(number))
            self.scheduler.on_trial_complete(None, trial, {"epoch": epoch, "value": accuracy})
        return kept


def replay(runs: Sequence[Run], rule: Rule, slots: int) -> Iterator[float]:
    """The accuracy of every epoch trained, in the order in which the slots report them."""
    reached = dict.fromkeys(range(len(runs)), 0)
    busy: list[tuple[float, int]] = []  # when a slot reports, and the run in it
    now, free = 0.0, slots
    while True:
        while free and (number := rule.next()) is not None:
            heapq.heappush(busy, (now + runs[number].seconds[reached[number]], number))
            free -= 1
        if not busy:
            return
        now, number = heapq.heappop(busy)
        reached[number] += 1
        yield (accuracy := runs[number].accuracy[reached[number] - 1])
        if rule.goes_on(number, reached[number], accuracy):
            heapq.heappush(busy, (now + runs[number].seconds[reached[number]], number))
        else:
            free += 1


def regrets(runs: Sequence[Run], rule: Rule, slots: int, budgets: Sequence[int]) -> list[float]:
    """Regret after each budget of epochs, in points of accuracy."""
    best = max(max(run.accuracy) for run in runs)
    epochs, seen, found = replay(runs, rule, slots), 0.0, []
    for before, budget in pairwise([0, *budgets]):
        seen = max([seen, *(a for _, a in zip(range(budget - before), epochs, strict=False))])
        found.append(best - seen)
    return found


def rules(epochs: int, waiting: list[int], seed: int) -> dict[str, Rule]:
    """Every rule by name, each with the same runs in the same order."""
    names = ("asha", "hyperband", "median", "none")
    ours: dict[str, Rule] = {n: Ours(n, epochs, list(waiting), seed) for n in names}
    return ours | {"promotion": Promoting("promotion", epochs, list(waiting), seed)}


def read(path: Path, epochs: int) -> list[Run]:
    """The runs of a data set that trained for `epochs` epochs, cut there."""
    with gzip.open(path, "rt") as file:
        recorded = json.load(file)["runs"]
    whole = [run for run in recorded if len(run["accuracy"]) >= epochs]
    return [Run(run["accuracy"][:epochs], run["seconds"][:epochs]) for run in whole]


def measure(arguments: argparse.Namespace) -> dict[str, dict[str, list[float]]]:
    """Data set -> rule -> mean regret over the seeds, after each budget."""
    found = {}
    for path in sorted(arguments.tables.glob("*.json.gz")):
        runs = read(path, arguments.epochs)
        if len(runs) >= FEWEST_RUNS:
            found[path.name.removesuffix(".json.gz")] = _of_data_set(runs, arguments)
    return found


def _of_data_set(runs: Sequence[Run], arguments: argparse.Namespace) -> dict[str, list[float]]:
    found: dict[str, list[list[float]]] = {}
    for seed in range(arguments.seeds):
        waiting = random.Random(seed).sample(range(len(runs)), len(runs))[: arguments.trials]
        for name, rule in rules(arguments.epochs, waiting, seed).items():
            one = regrets(runs, rule, arguments.slots, arguments.budgets)
            found.setdefault(name, []).append(one)
    return {name: [statistics.mean(at) for at in zip(*o, strict=True)] for name, o in found.items()}


def summary(found: Mapping[str, Mapping[str, Sequence[float]]]) -> dict[str, list[list[float]]]:
    """Rule -> a row a budget: mean regret over data sets, mean less ASHA's, its standard error."""
    names = next(iter(found.values()))
    return {
        name: [
            _compared(
                [of[name][i] for of in found.values()], [of[BASE][i] for of in found.values()]
            )
            for i in range(len(names[name]))
        ]
        for name in names
    }


def _compared(values: Sequence[float], base: Sequence[float]) -> list[float]:
    differences = [a - b for a, b in zip(values, base, strict=True)]
    error = statistics.stdev(differences) / len(differences) ** 0.5
    return [statistics.mean(values), statistics.mean(differences), error]


def main() -> None:
    arguments = _arguments()
    found = measure(arguments)
    rows = summary(found)
    trials = arguments.trials or "all"
    print(f"{len(found)} data sets, {arguments.seeds} seeds, {arguments.slots} slots, ", end="")
    print(f"{trials} trials of {arguments.epochs} epochs; regret in points of accuracy")
    print("(in brackets: less ASHA's, +- its standard error over the data sets)")
    print("epochs spent  " + "".join(f"{budget:>24}" for budget in arguments.budgets))
    for name, row in rows.items():
        cells = [f"{mean:.2f} ({less:+.2f} +- {error:.2f})" for mean, less, error in row]
        print(f"{name:<14}" + "".join(f"{cell:>24}" for cell in cells))
    if arguments.json:
        plain = {"budgets": arguments.budgets, "mean": rows, "data_sets": found}
        arguments.json.write_text(json.dumps(plain, indent=2) + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tables", type=Path, metavar="TABLE_DIR")
    parser.add_argument("--slots", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--trials", type=int, help="runs that a replay may draw; all by default")
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--budgets", type=int, nargs="+", default=[50, 100, 200, 400])
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()

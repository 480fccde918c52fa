"""When unfreezing pays: fine-tuning the last layers, compared with training the head alone.

    python tests/benchmarks/unfreezing.py DATA... [--train 100,400] [--json OUT]

Every depth gets the same number of epochs, the same warm-up and as many learning rates to choose
from. A trial counts by its epoch that validates best, a depth by its trial that validates best, and
only that trial is tested, once: on all remaining pictures, or on the test split of a folder that
has one. Every seed draws different pictures and initial weights; gains over the head alone are
paired by seed, and their standard error is over the seeds. `pays` is yes or no if their 95 %
interval (Student's) excludes 0. `s` is the seconds of one trial with cached features. With --json
the data sets may be measured in parts: rows are added to OUT, and the table shows all of them.
"""

import argparse
import functools
import itertools
import math
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from draws import Pictures, pictures
from machine import about
from measured import Measured, Row, against, grouped, in_pieces, layers
from scipy.stats import t as student
from tested import DTYPE, best_epoch, recipe, test_accuracy

from tlsearch.config.trial_config import TrialConfig
from tlsearch.data.sources import ImageData
from tlsearch.features import FeatureStore
from tlsearch.training.runtime import limit_resources

HEAD_RATES = (1e-3, 3e-3, 1e-2)
FINE_TUNE_RATES = (1e-4, 3e-4, 1e-3)
SURE = 0.95


def main() -> None:
    arguments = _arguments()
    limit_resources(arguments.cpus)
    measured = Measured(arguments.json, _settings(arguments))
    with tempfile.TemporaryDirectory(prefix="unfreezing-") as folder:
        for source in arguments.data:
            images = pictures(source, arguments.px, Path(folder) / "cache", arguments.classes)
            _measure(images, arguments, measured, Path(folder))
    _print(measured.rows)


def _arguments() -> argparse.Namespace:
    parser = in_pieces(__doc__)
    parser.add_argument("--train", type=_numbers, default=[100, 400], help="training pictures")
    parser.add_argument("--validation", type=int, default=200)
    parser.add_argument("--unfrozen", type=layers, default=[0, 15, 40])
    parser.add_argument("--epochs", type=int, default=10)
    return parser.parse_args()


def _numbers(text: str) -> list[int]:
    return [int(word) for word in text.split(",")]


def _settings(arguments: argparse.Namespace) -> dict[str, Any]:
    return {name: getattr(arguments, name) for name in ("validation", "epochs", "backbone", "px")}


def _measure(
    images: Pictures, arguments: argparse.Namespace, measured: Measured, scratch: Path
) -> None:
    for train, seed in itertools.product(arguments.train, range(arguments.seeds)):
        data = images.drawn(seed, train, arguments.validation)
        with tempfile.TemporaryDirectory(dir=scratch) as cache:
            store = FeatureStore(Path(cache), DTYPE)
            for unfrozen in arguments.unfrozen:
                trials = _trials(unfrozen, seed, arguments)
                row = functools.partial(_row, images.name, trials, data, store)
                measured.take(f"{images.name} {train} {unfrozen} {seed}", row)


def _trials(unfrozen: int | str, seed: int, arguments: argparse.Namespace) -> list[TrialConfig]:
    """Return the trials of one depth, one per rate."""
    rates = HEAD_RATES if unfrozen == 0 else FINE_TUNE_RATES
    return [
        recipe(arguments, seed, head_lr=rate, fine_tune_lr=rate, unfrozen_layers=unfrozen)
        for rate in rates
    ]


def _row(name: str, trials: Sequence[TrialConfig], data: ImageData, store: FeatureStore) -> Row:
    """Train the trials of a depth; test the one that validates best."""
    trained = [best_epoch(trial, data, store) for trial in trials]
    best = max(trained, key=lambda one: one.accuracy)
    return {
        "data": name,
        "train": len(data.splits["train"]),
        "test": len(data.splits["test"]),
        "unfrozen_layers": trials[0].unfrozen_layers,
        "seed": trials[0].seed,
        "rate": best.checkpoint.trial.learning_rate,
        "epoch": best.checkpoint.epoch,
        "share": best.share,
        "validation": best.accuracy,
        "accuracy": test_accuracy(best, data, store),
        "seconds": min(one.seconds for one in trained),
    }


def _table(rows: Sequence[Row]) -> list[Row]:
    """Return a row per data set, number of training pictures and depth: means over the seeds."""
    groups = grouped(sorted(rows, key=_place), "data", "train", "unfrozen_layers")
    return [
        group[0]
        | against(group, groups[data, train, 0])
        | {
            "seeds": len(group),
            "validation": statistics.mean(row["validation"] for row in group),
            "rates": sorted(row["rate"] for row in group),
        }
        for (data, train, _), group in list(groups.items())
    ]


def _place(row: Row) -> tuple[str, int, float]:
    layers = row["unfrozen_layers"]
    return row["data"], row["train"], math.inf if layers == "all" else layers


def _print(rows: Sequence[Row]) -> None:
    machine = about()["machine"]
    print(f"{machine['processor']}, {machine['cores']} cores")
    print(
        f"{'data':20} {'train':>5} {'tested':>6} {'last':>4} {'share':>6} {'valid':>6} {'test':>6} "
        f"{'over the head':>14} {'pays':>4} {'s':>6}  rates chosen"
    )
    for line in _table(rows):
        alone = line["unfrozen_layers"] == 0
        gain = "" if alone else f"{line['points']:+.2f} +- {line['error']:.2f}"
        print(
            f"{line['data']:20} {line['train']:5} {line['test']:6} {line['unfrozen_layers']!s:>4} "
            f"{line['share']:6.1%} {line['validation']:6.4f} {line['accuracy']:6.4f} {gain:>14} "
            f"{'' if alone else _pays(line):>4} {line['seconds']:6.1f}  "
            f"{' '.join(f'{rate:g}' for rate in line['rates'])}"
        )


def _pays(line: Row) -> str:
    if line["seeds"] < 2:
        return "?"
    within = float(student.ppf(0.5 + SURE / 2, line["seeds"] - 1)) * line["error"]
    if abs(line["points"]) > within:
        return "yes" if line["points"] > 0 else "no"
    return "?"


if __name__ == "__main__":
    main()

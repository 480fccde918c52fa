"""The accuracy that cached augmented views cost, compared with new views in every epoch.

    python tests/benchmarks/augmentation_parity.py DATA... [--json OUT] [--train N] [--seeds N]

Each trial is trained for the same number of epochs with one recipe (warm-up, Adam, cosine) and
scored by its last epoch on all pictures that it was not trained on, or on the test split of a
folder that has one. Every seed draws different training pictures, views and initial weights. Trials
of one seed differ only in their views, so differences are paired by seed, and their standard error
is over the seeds. `first s` is the time in seconds of a trial of the first seed that makes its
views, `later s` that of a trial that finds them. With --json the data sets may be measured in
parts: rows are added to OUT, and the table shows all of them.
"""

import argparse
import functools
import itertools
import math
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from draws import Pictures, pictures
from machine import about
from measured import Measured, Row, against, grouped, in_pieces, layers
from tested import DTYPE, last_epoch, recipe, test_accuracy

from tlsearch.config.augmentation import AUGMENTATIONS, Augment
from tlsearch.config.trial_config import TrialConfig
from tlsearch.data.sources import ImageData
from tlsearch.features import FeatureStore
from tlsearch.training.runtime import limit_resources

ONLINE = "online"
WAYS = ("none", "1", "4", "8", ONLINE)
RATES = {"head_lr": 3e-3, "fine_tune_lr": 3e-4}


def main() -> None:
    arguments = _arguments()
    limit_resources(arguments.cpus)
    measured = Measured(arguments.json, _settings(arguments))
    with tempfile.TemporaryDirectory(prefix="parity-") as folder:
        for source in arguments.data:
            images = pictures(source, arguments.px, Path(folder) / "cache", arguments.classes)
            _measure(images, arguments, measured, Path(folder))
    _print(measured.rows)


def _arguments() -> argparse.Namespace:
    parser = in_pieces(__doc__)
    parser.add_argument("--train", type=int, default=600, help="training pictures of each data set")
    parser.add_argument("--unfrozen", type=layers, default=[40, 0])
    parser.add_argument("--augment", choices=AUGMENTATIONS, default="medium")
    parser.add_argument("--epochs", type=int, default=16)
    return parser.parse_args()


def _settings(arguments: argparse.Namespace) -> dict[str, Any]:
    names = ("train", "augment", "epochs", "backbone", "px")
    return {name: getattr(arguments, name) for name in names}


def _measure(
    images: Pictures, arguments: argparse.Namespace, measured: Measured, scratch: Path
) -> None:
    """Take the rows of all seeds; in a seed's store, views of the deepest cut serve all depths."""
    for seed in range(arguments.seeds):
        data = images.drawn(seed, arguments.train)
        with tempfile.TemporaryDirectory(dir=scratch) as cache:
            store = FeatureStore(Path(cache), DTYPE)
            for unfrozen, way in itertools.product(arguments.unfrozen, WAYS):
                trial = _trial(way, unfrozen, seed, arguments)
                row = functools.partial(_row, images.name, way, trial, data, store)
                measured.take(f"{images.name} {unfrozen} {way} {seed}", row)


def _trial(way: str, unfrozen: int | str, seed: int, arguments: argparse.Namespace) -> TrialConfig:
    return recipe(
        arguments,
        seed,
        **RATES,
        unfrozen_layers=unfrozen,
        schedule="cosine",
        augment=Augment(**AUGMENTATIONS["none" if way == "none" else arguments.augment]),
        views=int(way) if way.isdigit() else 0,
        view_seed=seed,
    )


def _row(name: str, way: str, trial: TrialConfig, data: ImageData, store: FeatureStore) -> Row:
    """Train and test a trial; for the first seed, also time it."""
    seconds = _seconds(trial, data) if trial.seed == 0 else {}
    trained = last_epoch(trial, data, store)
    return seconds | {
        "data": name,
        "train": len(data.splits["train"]),
        "test": len(data.splits["test"]),
        "unfrozen_layers": trial.unfrozen_layers,
        "views": way,
        "seed": trial.seed,
        "accuracy": test_accuracy(trained, data, store),
    }


def _seconds(trial: TrialConfig, data: ImageData) -> dict[str, float]:
    """Time a trial that makes its views and one that finds them; a brief one compiles first."""
    few = {split: rows[:32] for split, rows in data.splits.items()}
    brief = trial.model_copy(update={"epochs": 1, "warm_up_epochs": 1})
    with tempfile.TemporaryDirectory() as cache:
        store = FeatureStore(Path(cache), DTYPE)
        last_epoch(brief, replace(data, splits=few), store)
        first, later = (last_epoch(trial, data, store).seconds for _ in range(2))
    return {"first_s": first, "later_s": later}


def _table(rows: Sequence[Row]) -> list[Row]:
    """Return means over the seeds per data set, depth and way, then means over the data sets."""
    groups = grouped(rows, "data", "unfrozen_layers", "views")
    lines = [
        group[0] | against(group, groups[data, last, ONLINE])
        for (data, last, _), group in list(groups.items())
    ]
    same_way = grouped(lines, "unfrozen_layers", "views").values()
    return lines + [_over_data_sets(same) for same in same_way if len(same) > 1]


def _over_data_sets(lines: list[Row]) -> Row:
    """Average the rows of several data sets, whose errors are independent."""
    means = {
        name: statistics.mean(line[name] for line in lines)
        for name in ("accuracy", "first_s", "later_s", "points")
    }
    error = math.hypot(*(line["error"] for line in lines)) / len(lines)
    kept = {name: lines[0][name] for name in ("unfrozen_layers", "views", "train")}
    pictures_tested = sum(line["test"] for line in lines)
    return kept | means | {"data": "mean", "test": pictures_tested, "error": error}


def _print(rows: Sequence[Row]) -> None:
    machine = about()["machine"]
    print(f"{machine['processor']}, {machine['cores']} cores")
    print(
        f"{'data':20} {'train':>5} {'test':>5} {'last':>4} {'views':>6} {'accuracy':>8} "
        f"{'less online':>14} {'first s':>8} {'later s':>8}"
    )
    for line in _table(rows):
        gap = f"{line['points']:+.2f} +- {line['error']:.2f}"
        print(
            f"{line['data']:20} {line['train']:5} {line['test']:5} {line['unfrozen_layers']!s:>4} "
            f"{line['views']:>6} {line['accuracy']:8.4f} "
            f"{'' if line['views'] == ONLINE else gap:>14} {line['first_s']:8.1f} "
            f"{line['later_s']:8.1f}"
        )


if __name__ == "__main__":
    main()

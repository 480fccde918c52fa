"""Final accuracy in each precision, on the digits that come with scikit-learn.

    python tests/benchmarks/precision.py [--seeds 3] [--unfrozen 0 40] [--json OUT]

Every trial is trained once per precision and seed; the table shows the mean validation accuracy and
its difference from float32. Expected: at most 0.3 points.
"""

import argparse
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

from tlsearch.config.dataset import Data, Splits
from tlsearch.config.device import EXACT
from tlsearch.config.trial_config import TrialConfig
from tlsearch.data.sources import prepare
from tlsearch.features import FeatureStore

MIXED = ("mixed_bfloat16", "mixed_float16")
ALLOWED = 0.003


def main() -> None:
    """Print the table; with --json also write it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--unfrozen", type=int, nargs="+", default=[0, 40])
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    from tlsearch.base.cores import granted_cores
    from tlsearch.training.runtime import limit_resources

    limit_resources(granted_cores())
    with tempfile.TemporaryDirectory() as folder:
        rows = [
            _row(n, arguments.seeds, arguments.epochs, Path(folder)) for n in arguments.unfrozen
        ]
    print(f"{'unfrozen':>8}  {'precision':<15} {'accuracy':>8}  {'apart':>7}")
    for row in rows:
        for precision, values in row["accuracy"].items():
            mean = statistics.mean(values)
            apart = mean - statistics.mean(row["accuracy"][EXACT])
            print(f"{row['unfrozen']:>8}  {precision:<15} {mean:8.4f}  {apart:+7.4f}")
    print(f"{arguments.seeds} seeds, {arguments.epochs} epochs; allowed: {ALLOWED:g}")
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n")


def _row(unfrozen: int, seeds: int, epochs: int, cache: Path) -> dict[str, Any]:
    """Return the last accuracy of each precision and seed, at one depth."""
    from tlsearch.training.epoch.executor import Executor
    from tlsearch.training.trial import train

    data = prepare(Data(kind="digits", image_px=32, splits=Splits(validation=600, test=10)), cache)
    executor, store = Executor(), FeatureStore(cache, "float16")
    accuracies: dict[str, list[float]] = {}
    for precision in (EXACT, *MIXED):
        for seed in range(seeds):
            trial = TrialConfig(
                backbone="strokes",
                unfrozen_layers=unfrozen,
                **{"fine_tune_lr" if unfrozen else "head_lr": 1e-3},
                image_px=32,
                epochs=epochs,
                warm_up_epochs=3,
                precision=precision,
                seed=seed,
            )
            (*_, last) = train(trial, data, store, None, executor)
            accuracies.setdefault(precision, []).append(last.value)
    return {"unfrozen": unfrozen, "accuracy": accuracies}


if __name__ == "__main__":
    main()

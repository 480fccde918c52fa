"""The gain from the shipped weights: digits with 200 labels, fine-tuned and from scratch.

    python tests/benchmarks/pretrained_digits.py [--epochs E] [--seeds N] [--json OUT]

Every network is the same MobileNetV2 (alpha 0.35, 48 px), trained whole for the same number of
epochs with the same optimizer and batch size; the value is that of the last epoch on the test
split. From scratch, BatchNorm trains too, since untrained statistics would cripple it, and higher
rates are tried as well, since they suit it better; fine-tuned networks keep their statistics.
"""

import argparse
import dataclasses
import json
import statistics
import tempfile
from pathlib import Path

from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from tlsearch.config.dataset import Data, Splits
from tlsearch.config.trial_config import TrialConfig
from tlsearch.data.sources import ImageData, prepare
from tlsearch.features import FeatureStore
from tlsearch.training.trial import train

SCRATCH = {"backbone": "strokes", "weights": "none", "train_batch_norm": True}
WAYS = {
    "fine-tuned from strokes, Adam 1e-3": {"backbone": "strokes", "fine_tune_lr": 1e-3},
    "fine-tuned from photos, Adam 1e-3": {"backbone": "photos", "fine_tune_lr": 1e-3},
    "from scratch, Adam 1e-3": {**SCRATCH, "fine_tune_lr": 1e-3},
    "from scratch, Adam 3e-3": {**SCRATCH, "fine_tune_lr": 3e-3},
    "from scratch, Adam 1e-2": {**SCRATCH, "fine_tune_lr": 1e-2},
}


def main() -> None:
    arguments = _arguments()
    seeds = range(arguments.seeds)
    with tempfile.TemporaryDirectory() as folder:
        data = _digits(Path(folder))
        store = FeatureStore(Path(folder), "float16")
        rows = {
            way: [_test_accuracy(options, s, arguments.epochs, data, store) for s in seeds]
            for way, options in WAYS.items()
        }
    rows["logistic regression on raw pixels"] = [_logistic_regression(data)]
    print(f"digits, 200 labels, {arguments.epochs} epochs, test accuracy")
    for way, values in rows.items():
        each = " ".join(f"{value:.3f}" for value in values)
        print(f"{way:35} mean {statistics.mean(values):.3f}   seeds {each}")
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=18)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def _digits(cache: Path) -> ImageData:
    """Return the quickstart's split, with the test images in place of the validation images."""
    splits = Splits(train=200, validation=600, test="rest")
    data = prepare(Data(kind="digits", image_px=48, splits=splits), cache)
    return dataclasses.replace(data, splits={**data.splits, "validation": data.splits["test"]})


def _test_accuracy(
    options: dict[str, object], seed: int, epochs: int, data: ImageData, store: FeatureStore
) -> float:
    scratch = options.get("weights") == "none"
    trial = TrialConfig(
        **options,
        unfrozen_layers="all",
        optimizer="adam",
        batch_size=16,
        image_px=48,
        epochs=epochs,
        warm_up_epochs=0 if scratch else 5,  # a head on untrained features has nothing to learn
        seed=seed,
    )
    *_, last = train(trial, data, store)
    return last.value


def _logistic_regression(data: ImageData) -> float:
    pixels, labels = load_digits(return_X_y=True)
    train_rows, test_rows = data.splits["train"], data.splits["test"]
    model = LogisticRegression(max_iter=5000).fit(pixels[train_rows] / 16, labels[train_rows])
    return float(model.score(pixels[test_rows] / 16, labels[test_rows]))


if __name__ == "__main__":
    main()

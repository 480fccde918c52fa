"""The speed of an epoch with the features of the frozen prefix cached, and without.

    python tests/benchmarks/epoch_cost.py DATA [--backbones A,B] [--unfrozen 0,15] [--json OUT]

For each backbone and number of unfrozen layers: images per second of a training epoch, from
features cached at the cut and from images that pass the prefix in every epoch; the cached bytes per
image; the share of the multiply-adds after the cut. Epochs after the first are timed, and the
median counts; validation has one image per class.
"""

import argparse
import dataclasses
import json
import math
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from costs import costs
from machine import about
from measured import layers
from pictures import linked

from tlsearch.config.dataset import Data, Splits
from tlsearch.config.networks.unfreezing import Unfrozen
from tlsearch.config.trial_config import TrialConfig
from tlsearch.data.sources import ImageData, prepare
from tlsearch.features import FeatureStore
from tlsearch.training.runtime import limit_resources

DTYPE = "float16"


def main() -> None:
    arguments = _arguments()
    limit_resources(arguments.cpus)
    rows = []
    with tempfile.TemporaryDirectory(prefix="epoch-cost-") as folder:
        data = _images(arguments, Path(folder))
        for backbone in arguments.backbones:
            for unfrozen in arguments.unfrozen:
                rows.append(_row(backbone, unfrozen, data, arguments, Path(folder)))
                print(f"{backbone} {unfrozen}", file=sys.stderr, flush=True)
        result = about() | {"images": len(data.splits["train"]), "cpus": arguments.cpus}
    result["rows"] = rows
    _print(result)
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    backbones = ["mobilenet_v2_035", "mobilenet_v2"]
    parser.add_argument("--backbones", type=lambda text: text.split(","), default=backbones)
    parser.add_argument("--unfrozen", type=layers, default=[0, 15, 40])
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--px", type=int, default=224)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--cpus", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--weights", default="default", help="none where there are none at hand")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def _images(arguments: argparse.Namespace, scratch: Path) -> ImageData:
    """Train on all images and validate on the first of each class, which takes next to no time."""
    folder = linked(arguments.data, scratch / "images", arguments.images, arguments.seed)
    data = prepare(Data(path=folder, image_px=arguments.px, splits=Splits()), scratch / "cache")
    train = np.sort(np.concatenate(list(data.splits.values())))
    _, firsts = np.unique(data.labels, return_index=True)
    return dataclasses.replace(data, splits={"train": train, "validation": firsts, "test": firsts})


def _row(
    backbone: str,
    unfrozen: Unfrozen,
    data: ImageData,
    arguments: argparse.Namespace,
    scratch: Path,
) -> dict[str, Any]:
    cost = costs(backbone, unfrozen, 0, len(data.classes), arguments.px)
    from_images = cost.prefix == 0
    trial = TrialConfig(
        backbone=backbone,
        weights=arguments.weights,
        unfrozen_layers=unfrozen,
        optimizer="adam",
        head_lr=1e-3,
        fine_tune_lr=1e-4,
        batch_size=arguments.batch,
        image_px=arguments.px,
        epochs=arguments.epochs,
        feature_dtype=DTYPE,
    )
    images = len(data.splits["train"])
    with tempfile.TemporaryDirectory(dir=scratch) as cache:
        seconds = {
            name: _seconds(trial, data, store) for name, store in stores(Path(cache)).items()
        }
    speed = {name: images / epoch_s for name, epoch_s in seconds.items()}
    return {
        "backbone": backbone,
        "unfrozen_layers": unfrozen,
        "cut": cost.cut,
        "bytes_per_image": math.prod(cost.cut_shape) * (1 if from_images else 2),
        "suffix_share": cost.suffix / cost.whole,
        "images_per_s": speed,
        "ratio": speed["cached"] / speed["uncached"] if "uncached" in speed else None,
    }


def stores(cache: Path) -> dict[str, FeatureStore]:
    """Return two sources of a trial's features: cached, or computed again in every epoch."""
    return {"cached": FeatureStore(cache, DTYPE), "uncached": FeatureStore(cache, DTYPE, 0)}


def _seconds(trial: TrialConfig, data: ImageData, store: FeatureStore) -> float:
    """Return the median epoch from the second on; these neither trace nor fill the store."""
    from tlsearch.training.trial import train

    return statistics.median(
        report.seconds for report in train(trial, data, store) if report.epoch >= 2
    )


def _print(result: dict[str, Any]) -> None:
    machine = result["machine"]
    print(f"{machine['processor']}, {machine['cores']} cores, {result['cpus']} used")
    print(f"{result['images']} images an epoch")
    print(
        f"{'backbone':17} {'last':>4} {'cut':14} {'bytes':>7} {'share':>6} "
        f"{'cached/s':>9} {'not/s':>7} {'ratio':>6}"
    )
    for row in result["rows"]:
        speed = row["images_per_s"]
        print(
            f"{row['backbone']:17} {row['unfrozen_layers']!s:>4} {row['cut'][:14]:14} "
            f"{row['bytes_per_image']:7} {row['suffix_share']:6.1%} {speed['cached']:9.1f} "
            f"{_number(speed.get('uncached')):>7} {_number(row['ratio']):>6}"
        )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


if __name__ == "__main__":
    main()

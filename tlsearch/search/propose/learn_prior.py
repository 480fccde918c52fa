"""Learn the shipped prior: `python -m tlsearch.search.propose.learn_prior TABLES`.

TABLES is a folder with a `*.json.gz` per data set, as `tests/benchmarks/recorded.py` reads it. The
shipped file was learned from the "extended" tables of Quick-Tune,
https://github.com/rapanti/quicktune (BSD-3-Clause; Arango, Ferreira, Kadra, Hutter, Grabocka,
"Quick-Tune", ICLR 2024): runs of 24 timm networks on 20 data sets of Meta-Album. Runs that only
train the head before an ordinary phase ("linear probing") are left out: they end after one epoch.
The accuracies and multiply-adds of the networks are from `results/results-imagenet.csv` and
`results/benchmark-infer-amp-nchw-pt113-cu117-rtx3090.csv` in
https://github.com/huggingface/pytorch-image-models (Apache-2.0).
"""

import gzip
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tlsearch.search.propose.prior import FILE, Floats, Smooth, features_from, matern

# Network in the tables -> top-1 accuracy on ImageNet in percent, 10^9 multiply-adds.
NETWORKS = {
    "beit_base_patch16_384": (86.800, 55.54),
    "beit_large_patch16_512": (88.596, 362.24),
    "convnext_small_384_in22ft1k": (85.778, 25.58),
    "deit3_small_patch16_384_in21ft1k": (84.824, 15.52),
    "dla46x_c": (65.988, 0.54),
    "edgenext_small": (81.564, 1.97),
    "edgenext_x_small": (75.688, 0.68),
    "edgenext_xx_small": (71.878, 0.33),
    "mobilevit_xs": (74.636, 1.05),
    "mobilevit_xxs": (68.932, 0.42),
    "mobilevitv2_075": (75.608, 1.05),
    "swinv2_base_window12to24_192to384_22kft1k": (87.096, 55.25),
    "tf_efficientnet_b4_ns": (85.162, 4.49),
    "tf_efficientnet_b6_ns": (86.456, 19.4),
    "tf_efficientnet_b7_ns": (86.840, 38.33),
    "volo_d1_384": (85.244, 22.75),
    "volo_d3_448": (86.500, 96.33),
    "volo_d4_448": (86.792, 197.13),
    "volo_d5_448": (86.952, 315.06),
    "volo_d5_512": (87.058, 425.09),
    "xcit_nano_12_p8_384_dist": (77.820, 6.34),
    "xcit_small_12_p8_384_dist": (85.078, 54.92),
    "xcit_tiny_12_p8_384_dist": (82.388, 14.13),
    "xcit_tiny_24_p8_384_dist": (83.746, 27.05),
}

REACH, EVENNESS, NOISE = (
    0.3,
    0.5,
    0.1,
)  # chosen by rank correlation in leave-one-data-set-out cross-validation
CENTRES = 500


def as_trial(config: Mapping[str, Any], images: int, classes: int) -> list[float]:
    """Return the features of a recorded configuration."""
    accuracy, giga = NETWORKS.get(config["model"], (None, None))
    return features_from(
        lr=config["lr"],
        batch_size=config["batch_size"],
        trained_share=1 - config["pct_to_freeze"],
        dropout=config["drop"],
        weight_decay=config["weight_decay"],
        label_smoothing=config["smoothing"],
        sgd=config["opt"] in ("sgd", "momentum"),
        cosine=config["sched"] == "cosine",
        plateau=config["sched"] == "plateau",
        accuracy=accuracy,
        multiply_adds=None if giga is None else giga * 1e9,
        images=images,
        classes=classes,
    )


def ranks(values: Floats) -> Floats:
    """Return for each value the share of all values that it beats; equal values count half. (n,)"""
    below = np.searchsorted(np.sort(values), values, side="left")
    upto = np.searchsorted(np.sort(values), values, side="right")
    return np.asarray((below + upto) / 2 / len(values))


def fit(rows: Floats, targets: Floats, centres: int | None = None) -> Smooth:
    """Fit a smooth function that predicts targets, (n,), from rows, (n, features), NaN if absent.

    It is the mean of a Gaussian process. With `centres`, that many inducing points represent all
    rows. Each point takes every feature from a randomly chosen row, so that no point is a recorded
    configuration.
    """
    low, high = np.nanmin(rows, axis=0), np.nanmax(rows, axis=0)
    rows = np.where(np.isnan(rows), low, rows)
    spread = rows.std(axis=0)
    scale = REACH * relevance(rows, targets) ** EVENNESS / np.where(spread > 0, spread, 1)
    base = float(targets.mean())
    if centres is None:
        near = matern(rows * scale, rows * scale) + NOISE * np.eye(len(rows))
        weights = np.asarray(np.linalg.solve(near, targets - base), dtype=np.float64)
        return Smooth(base, low, high, scale, rows, weights)
    chosen = np.random.default_rng(0).permuted(rows, axis=0)[:centres]
    across = matern(rows * scale, chosen * scale)
    near = NOISE * matern(chosen * scale, chosen * scale) + 1e-6 * np.eye(len(chosen))
    right_hand_side = across.T @ (targets - base)
    weights = np.asarray(
        np.linalg.solve(across.T @ across + near, right_hand_side), dtype=np.float64
    )
    return Smooth(base, low, high, scale, chosen, weights)


def relevance(rows: Floats, targets: Floats) -> Floats:
    """Return the importance of each feature in boosted trees, the largest being 1. (features,)"""
    from sklearn.ensemble import GradientBoostingRegressor

    trees = GradientBoostingRegressor(
        max_depth=5, max_features=0.3, subsample=0.6, random_state=0
    ).fit(rows, targets)
    found = trees.feature_importances_
    return np.asarray(found / found.max())


def learn_prior(folder: Path) -> Smooth:
    """Learn the prior from a folder of tables."""
    rows: list[list[float]] = []
    targets: list[Floats] = []
    for path in sorted(folder.glob("*.json.gz")):
        with gzip.open(path, "rt") as file:
            table = json.load(file)
        runs = [run for run in table["runs"] if not run["config"]["linear_probing"]]
        sizes = (table["n_images"], table["n_classes"])
        rows += [as_trial(run["config"], *sizes) for run in runs]
        targets.append(ranks(np.array([max(run["accuracy"]) for run in runs])))
    return fit(np.array(rows), np.concatenate(targets), CENTRES)


def save(found: Smooth, file: Path) -> None:
    """Write a function to an .npz file without pickled objects, with its source and licence."""
    about = {
        "source": "Quick-Tune, extended tables, https://github.com/rapanti/quicktune",
        "licence": "BSD-3-Clause",
        "base": found.base,
    }
    arrays = {name: getattr(found, name) for name in ("low", "high", "scale", "centres", "weights")}
    np.savez_compressed(
        file,
        about=np.array(json.dumps(about)),
        **{name: array.astype(np.float32) for name, array in arrays.items()},
    )


if __name__ == "__main__":
    save(learn_prior(Path(sys.argv[1])), FILE)

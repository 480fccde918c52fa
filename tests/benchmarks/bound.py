"""The largest speed-up over plain fine-tuning that compute alone allows.

    python tests/benchmarks/bound.py < JOB.json

JOB holds image_px, classes, the numbers of training and validation images, and trials with the
epochs that each was trained for. The speed-up is printed twice: `bound` from seconds measured here
on one thread, `multiply_adds` from their counts, where the backward pass through trained layers
counts twice. Plain fine-tuning runs the whole network in each epoch. The least possible work is one
pass of each backbone's frozen prefix per picture, which yields every cut on its way, and then the
layers after each trial's cut in each epoch. Process start, tracing, reading and head warm-up are in
neither.
"""

import functools
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from costs import costs

from tlsearch.training.runtime import limit_resources

BATCH = 32
LARGE = 1e30


@dataclass(frozen=True)
class Price:
    """The cost of one picture: through the frozen prefix, and after it to train or to validate."""

    prefix: float
    train: float
    validate: float


Priced = Callable[[str, int, int], Price]


def main() -> None:
    job = json.load(sys.stdin)
    limit_resources(1)
    count = functools.partial(_counted, classes=job["classes"], image_px=job["image_px"])
    clock = functools.cache(
        functools.partial(_measured, classes=job["classes"], image_px=job["image_px"])
    )
    print(json.dumps({"bound": bound(job, clock), "multiply_adds": bound(job, count)}))


def bound(job: dict[str, Any], price: Priced) -> float:
    """Return the cost of plain fine-tuning divided by the least cost of the same epochs."""
    train, validation = job["train_images"], job["validation_images"]
    plain = least = 0.0
    prefixes: dict[str, float] = {}
    for trial in job["trials"]:
        cost = price(trial["backbone"], trial["unfrozen_layers"], trial["head_units"])
        behind = trial["epochs"] * (cost.train * train + cost.validate * validation)
        plain += behind + trial["epochs"] * cost.prefix * (train + validation)
        least += behind
        prefixes[trial["backbone"]] = max(prefixes.get(trial["backbone"], 0.0), cost.prefix)
    return float(plain / (least + sum(prefixes.values()) * (train + validation)))


def _counted(backbone: str, unfrozen: int, units: int, *, classes: int, image_px: int) -> Price:
    cost = costs(backbone, unfrozen, units, classes, image_px)
    return Price(cost.prefix, cost.suffix + 2 * cost.trained, cost.suffix)


def _measured(backbone: str, unfrozen: int, units: int, *, classes: int, image_px: int) -> Price:
    """Return the price in seconds: the best of several batches after the one that traces."""
    import tensorflow as tf

    from tlsearch.config.trial_config import TrialConfig
    from tlsearch.training.epoch.executor import shared_executor
    from tlsearch.training.epoch.prediction import compiled_prediction

    trial = TrialConfig(
        backbone=backbone,
        weights="none",
        unfrozen_layers=unfrozen,
        head_units=(units,) if units else (),
        image_px=image_px,
    )
    network = shared_executor().network(trial, classes)
    images = tf.zeros((BATCH, image_px, image_px, 3), tf.uint8)
    backbone_of = network.backbone
    prefix = compiled_prediction(
        lambda x: network.sections.prefix(backbone_of.preprocess(x), training=False), images
    )
    rows = tf.cast(prefix(images), tf.float16)
    loop = shared_executor().loop(network, rows, "adam")
    loop.begin(1e-5, 0.0)
    labels, order = np.zeros(BATCH, np.int32), np.arange(BATCH)
    return Price(
        prefix=_seconds(lambda: prefix(images)) / BATCH,
        train=_seconds(lambda: loop.train(rows, labels, order, BATCH, 0)) / BATCH,
        validate=_seconds(lambda: loop.predict(rows)) / BATCH,
    )


def _seconds(call: Callable[[], object]) -> float:
    call()
    best = LARGE
    for _ in range(5):
        began = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - began)
    return best


if __name__ == "__main__":
    main()

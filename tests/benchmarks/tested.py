"""A trial trained to its end, and its accuracy on the test pictures."""

import argparse
import time
from dataclasses import dataclass, replace
from typing import Any

from tlsearch.bundle.metrics import accuracy
from tlsearch.config.trial_config import TrialConfig
from tlsearch.data.sources import ImageData
from tlsearch.features import FeatureStore
from tlsearch.training.checkpoint import Checkpoint
from tlsearch.training.epoch.executor import shared_executor
from tlsearch.training.session import Session
from tlsearch.training.trial import EpochReport, train

DTYPE = "float16"


def recipe(arguments: argparse.Namespace, seed: int, **options: Any) -> TrialConfig:
    """Return a trial with the settings that these benchmarks share."""
    return TrialConfig(
        backbone=arguments.backbone,
        image_px=arguments.px,
        epochs=arguments.epochs,
        optimizer="adam",
        dropout=0.2,
        warm_up_epochs=5,
        feature_dtype=DTYPE,
        seed=seed,
        **options,
    )


@dataclass(frozen=True, eq=False)
class Trained:
    """One epoch of a trial: its state, its validation accuracy, and the seconds of all epochs."""

    checkpoint: Checkpoint
    accuracy: float
    share: float  # of the multiply-adds in layers that train
    seconds: float


def last_epoch(trial: TrialConfig, data: ImageData, store: FeatureStore) -> Trained:
    """Train a trial and return its last epoch."""
    began = time.perf_counter()
    *_, last = train(trial, data, store)
    return _trained(last.snapshot(), last, began)


def best_epoch(trial: TrialConfig, data: ImageData, store: FeatureStore) -> Trained:
    """Train a trial and return the epoch that validates best, the first of equals."""
    began, best, state = time.perf_counter(), None, None
    for report in train(trial, data, store):
        if best is None or report.value > best.value:
            best, state = report, report.snapshot()
    assert best is not None, "a trial has an epoch"
    assert state is not None
    return _trained(state, best, began)


def test_accuracy(trained: Trained, data: ImageData, store: FeatureStore) -> float:
    """Return the accuracy on the test split, whose features the store keeps like any others."""
    tested = replace(data, splits=data.splits | {"validation": data.splits["test"]})
    session = Session(trained.checkpoint.trial, tested, store, shared_executor())
    session.restore(trained.checkpoint)
    return accuracy(session.validation_labels, session.validate())


def _trained(state: Checkpoint, report: EpochReport, began: float) -> Trained:
    seconds = time.perf_counter() - began
    return Trained(state, report.validation_accuracy, report.work.trained_share, seconds)

"""How an epoch went on the training images, as a whole and batch by batch."""

import math
from dataclasses import dataclass

import numpy as np

from tlsearch.bundle.metrics import Labels, called_score, chosen_losses, score
from tlsearch.training.epoch.loop import Steps

NOTED = 2**24  # probabilities of training images that an epoch notes at most: 64 MiB


@dataclass(frozen=True)
class Batches:
    """Mean loss and accuracy of each batch, in the order of the epoch's steps."""

    losses: tuple[float, ...] = ()
    accuracies: tuple[float, ...] = ()


@dataclass(frozen=True)
class Trained:
    """What the network said of the training images while it was trained on them.

    Dropout is active and every image is seen before its own step, as in Keras' histories; `value`
    is the study's metric, an AUC that of some thousand images where all would take much memory.
    Without an epoch all are NaN.
    """

    loss: float = math.nan
    value: float = math.nan
    accuracy: float = math.nan
    batches: Batches = Batches()


def trained(metric: str, labels: Labels, batch: int, steps: Steps) -> Trained:
    """An epoch's steps as numbers; `labels`, (n,), in the order of the steps."""
    right = steps.called == labels
    batches = [float(right[i : i + batch].mean()) for i in range(0, len(labels), batch)]
    return Trained(
        loss=steps.loss,
        value=_value(metric, labels, steps),
        accuracy=float(right.mean()),
        batches=Batches(tuple(steps.losses.tolist()), tuple(batches)),
    )


def noted_images(metric: str, classes: int) -> int:
    """How many images of an epoch a metric takes the probabilities of: none but for AUC, and for
    that no more than `NOTED` numbers. An epoch's order is random, so its first images are a sample.
    """
    return max(1, NOTED // classes) if metric == "auc" else 0


def _value(metric: str, labels: Labels, steps: Steps) -> float:
    """The metric on all training images, AUC on those whose probabilities were noted; NaN where
    they are not finite.
    """
    if not np.isfinite(steps.chosen).all():
        return math.nan
    if metric == "auc":
        return score(metric, labels[: len(steps.probabilities)], steps.probabilities)
    if metric == "loss":
        return float(chosen_losses(steps.chosen).mean())
    return called_score(metric, labels, steps.called)

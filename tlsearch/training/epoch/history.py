"""The training metrics of an epoch, as a whole and batch by batch."""

import math
from dataclasses import dataclass

import numpy as np

from tlsearch.bundle.metrics import Labels, chosen_losses, predicted_class_score, score
from tlsearch.training.epoch.loop import Steps

NOTED = 2**24  # the most probabilities of training images that an epoch keeps: 64 MiB


@dataclass(frozen=True)
class Batches:
    """Mean loss and accuracy of each batch, in the order of the epoch's steps."""

    losses: tuple[float, ...] = ()
    accuracies: tuple[float, ...] = ()


@dataclass(frozen=True)
class Trained:
    """The network's loss and metrics on the training images during an epoch.

    As in Keras' histories, dropout is active and each image is predicted just before its own step.
    `value` is the study's metric; an AUC is computed from at most `NOTED` / classes images. All
    values are NaN if no epoch was trained.
    """

    loss: float = math.nan
    value: float = math.nan
    accuracy: float = math.nan
    batches: Batches = Batches()


def train_metrics(metric: str, labels: Labels, batch: int, steps: Steps) -> Trained:
    """Return the metrics of an epoch's steps; `labels`, (n,), are in the order of the steps."""
    right = steps.predicted == labels
    batches = [float(right[i : i + batch].mean()) for i in range(0, len(labels), batch)]
    return Trained(
        loss=steps.loss,
        value=_value(metric, labels, steps),
        accuracy=float(right.mean()),
        batches=Batches(tuple(steps.losses.tolist()), tuple(batches)),
    )


def noted_images(metric: str, classes: int) -> int:
    """Return the number of images per epoch whose probabilities the metric needs.

    It is 0 except for AUC, which uses at most `NOTED` probabilities. The order of an epoch is
    random, so its first images are a random sample.
    """
    return max(1, NOTED // classes) if metric == "auc" else 0


def _value(metric: str, labels: Labels, steps: Steps) -> float:
    """Return the metric on all training images, or for AUC on those with noted probabilities; NaN
    if the probabilities are not finite.
    """
    if not np.isfinite(steps.true_probability).all():
        return math.nan
    if metric == "auc":
        return score(metric, labels[: len(steps.probabilities)], steps.probabilities)
    if metric == "loss":
        return float(chosen_losses(steps.true_probability).mean())
    return predicted_class_score(metric, labels, steps.predicted)

"""How an epoch went on the training images, as a whole and batch by batch."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from tlsearch.bundle.metrics import Labels, Probabilities, accuracy, score
from tlsearch.training.epoch.loop import Steps


@dataclass(frozen=True)
class Batches:
    """Mean loss and accuracy of each batch, in the order of the epoch's steps."""

    losses: tuple[float, ...] = ()
    accuracies: tuple[float, ...] = ()


@dataclass(frozen=True)
class Trained:
    """What the network said of the training images while it was trained on them.

    Dropout is active and every image is seen before its own step, as in Keras' histories; `value`
    is the study's metric. Without an epoch all are NaN.
    """

    loss: float = math.nan
    value: float = math.nan
    accuracy: float = math.nan
    batches: Batches = Batches()


def trained(metric: str, labels: Labels, batch: int, steps: Steps) -> Trained:
    """An epoch's steps as numbers; `labels`, (n,), in the order of the steps."""
    right = [accuracy(y, p) for y, p in _batches(labels, batch, steps)]
    return Trained(
        loss=steps.loss,
        value=score(metric, labels, steps.probabilities),
        accuracy=accuracy(labels, steps.probabilities),
        batches=Batches(tuple(steps.losses.tolist()), tuple(right)),
    )


def _batches(labels: Labels, batch: int, steps: Steps) -> Iterator[tuple[Labels, Probabilities]]:
    for start in range(0, len(labels), batch):
        yield labels[start : start + batch], steps.probabilities[start : start + batch]

"""Confidence intervals of a score measured on labelled images, for every metric."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tlsearch.base.array_types import Classes, Floats
from tlsearch.bundle.auc_interval import auc_interval
from tlsearch.bundle.metrics import Labels, Probabilities, accuracy, image_losses
from tlsearch.results.rank.interval import least_mean, wilson
from tlsearch.results.rank.macro import MACRO

ROUNDS = 1000
LEAST_ROUNDS = 200
DRAWN = 10**8  # most numbers that a bootstrap draws, unless `LEAST_ROUNDS` needs more


@dataclass(frozen=True)
class ScoreInterval:
    """A 95 % interval, the name of its method, and its rounds if that is a bootstrap."""

    low: float
    high: float
    method: str
    rounds: int | None = None

    def to_json(self) -> dict[str, object]:
        """The interval as plain values: `low`, `high`, `interval`, and `rounds` of a bootstrap."""
        ends = {"low": self.low, "high": self.high, "interval": self.method}
        return ends if self.rounds is None else {**ends, "rounds": self.rounds}


def score_interval(
    metric: str, labels: Labels, probabilities: Probabilities, rounds: int | None = None
) -> ScoreInterval | None:
    """Return the interval of a catalogue metric; None if there are too few images or no spread.

    Accuracy uses Wilson's interval. AUC uses DeLong's, or Newcombe's if the AUC is 1. The others
    use the percentile bootstrap (Efron 1979) with a fixed seed and `rounds` rounds, by default
    1,000, or down to 200 if there are many images; a macro average of 1 uses Wilson per class. Also
    returns None if a probability is not finite.
    """
    if not np.isfinite(probabilities).all():
        return None
    if metric == "accuracy":
        return ScoreInterval(*wilson(accuracy(labels, probabilities), len(labels)), "Wilson")
    if metric == "auc":
        found = auc_interval(labels, probabilities)
        return None if found is None else ScoreInterval(*found)
    if metric in MACRO:
        return _of_macro(metric, labels, probabilities.argmax(axis=1), rounds)
    return _of_loss(image_losses(labels, probabilities), rounds)


def allowed_rounds(size: int) -> int:
    """Return the number of rounds of a bootstrap that draws `size` numbers per round."""
    return max(LEAST_ROUNDS, min(ROUNDS, DRAWN // max(1, size)))


def _of_macro(
    metric: str, labels: Labels, predicted: Classes, rounds: int | None
) -> ScoreInterval | None:
    """Return the interval of balanced accuracy or macro F1.

    If the score is perfect, every bootstrap round would draw the same value. Its interval is that
    of the mean recall for both metrics, since to first order a mistake costs macro F1 as much as
    balanced accuracy.
    """
    if (labels == predicted).all():
        per_class = np.unique(labels, return_counts=True)[1].tolist()
        return ScoreInterval(least_mean(per_class), 1.0, "Wilson per class")
    cells, images = np.unique(np.stack((labels, predicted)), axis=1, return_counts=True)
    rounds, value = rounds or allowed_rounds(len(images)), _of_cells(metric, cells, images)
    values = np.fromiter(_bootstrap_scores(metric, cells, images, rounds), float, rounds)
    if metric == "macro_f1":
        # F1 is not a mean: with few images per class, the draws lie below the score by as much as
        # the score lies below the truth. Efron (1981) makes the same bias correction.
        values += 2 * (value - values.mean())
    return _percentiles(np.clip(values, 0, 1), value)


def _bootstrap_scores(
    metric: str, cells: NDArray[np.int64], images: NDArray[np.int64], rounds: int
) -> Iterator[float]:
    """Yield the score of each bootstrap round.

    Drawing images with replacement is the same as drawing the counts of the confusion matrix from a
    multinomial distribution.
    """
    rng, count = np.random.default_rng(0), int(images.sum())
    for _ in range(rounds):
        yield _of_cells(metric, cells, rng.multinomial(count, images / count))


def _of_cells(metric: str, cells: NDArray[np.int64], images: NDArray[np.int64]) -> float:
    """Compute a macro average from confusion cells, (2, cells), and the images in each, (cells,).

    A cell is a pair of label and predicted class.
    """
    true, predicted = cells
    classes, right = int(cells.max()) + 1, true == predicted
    found = (true, images), (predicted, images), (true[right], images[right])
    counts = [np.bincount(rows, weights, classes) for rows, weights in found]
    return MACRO[metric](*counts)


def _of_loss(losses: Floats, rounds: int | None) -> ScoreInterval | None:
    rng, count = np.random.default_rng(0), len(losses)
    rounds = rounds or allowed_rounds(count)
    means = (float(losses[rng.integers(0, count, count)].mean()) for _ in range(rounds))
    return _percentiles(np.fromiter(means, float, rounds), float(losses.mean()))


def _percentiles(values: Floats, score: float) -> ScoreInterval | None:
    low, high = np.percentile(values, (2.5, 97.5))
    if low == high:  # every round drew the same value: the images have no spread
        return None
    ends = min(score, float(low)), max(score, float(high))
    return ScoreInterval(*ends, "bootstrap", len(values))

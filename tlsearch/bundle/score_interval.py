"""How far a score measured on labelled images can be trusted, whatever the metric."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tlsearch.bundle.auc_interval import auc_interval
from tlsearch.bundle.metrics import Labels, Probabilities, accuracy, image_losses
from tlsearch.results.rank.interval import least_mean, wilson
from tlsearch.results.rank.macro import MACRO

ROUNDS = 1000
LEAST_ROUNDS = 200
DRAWN = 10**8  # numbers that a bootstrap draws at most, unless the least rounds need more


@dataclass(frozen=True)
class ScoreInterval:
    """A 95 % interval, the name of its method, and the rounds of a bootstrap."""

    low: float
    high: float
    method: str
    rounds: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values, as a test score is noted: `low`, `high`, `interval`, `rounds`."""
        ends = {"low": self.low, "high": self.high, "interval": self.method}
        return ends if self.rounds is None else {**ends, "rounds": self.rounds}


def score_interval(
    metric: str, labels: Labels, probabilities: Probabilities, rounds: int | None = None
) -> ScoreInterval | None:
    """The interval of a catalogue metric; None where it has none, for want of images or spread.

    Accuracy: Wilson. AUC: DeLong, and Newcombe where it is perfect. The others: the percentile
    bootstrap (Efron 1979) by a fixed seed, of `rounds` rounds (by default as many of 1,000 as the
    images allow), and Wilson per class where a macro average is perfect.
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
    """The rounds of a bootstrap that draws `size` numbers in each."""
    return max(LEAST_ROUNDS, min(ROUNDS, DRAWN // max(1, size)))


def _of_macro(
    metric: str, labels: Labels, called: NDArray[Any], rounds: int | None
) -> ScoreInterval | None:
    """Of a perfect score every round draws the same; its interval is that of the mean recall, since
    to first order a mistake costs macro F1 as much as balanced accuracy.
    """
    if (labels == called).all():
        shown = np.unique(labels, return_counts=True)[1].tolist()
        return ScoreInterval(least_mean(shown), 1.0, "Wilson per class")
    cells, images = np.unique(np.stack((labels, called)), axis=1, return_counts=True)
    rounds = rounds or allowed_rounds(len(images))
    return _percentiles(_redrawn(MACRO[metric], cells, images, rounds), rounds)


def _redrawn(
    macro: Callable[..., float], cells: NDArray[Any], images: NDArray[np.int64], rounds: int
) -> Iterator[float]:
    """The score in each round: to draw images with replacement is to draw the confusion's cells
    from a multinomial distribution.
    """
    rng, count, (shown, called) = np.random.default_rng(0), int(images.sum()), cells
    classes, right = int(cells.max()) + 1, shown == called
    for _ in range(rounds):
        drawn = rng.multinomial(count, images / count)
        found = (shown, drawn), (called, drawn), (shown[right], drawn[right])
        yield macro(*(np.bincount(rows, weights, classes) for rows, weights in found))


def _of_loss(losses: NDArray[np.float64], rounds: int | None) -> ScoreInterval | None:
    rng, count = np.random.default_rng(0), len(losses)
    rounds = rounds or allowed_rounds(count)
    means = (float(losses[rng.integers(0, count, count)].mean()) for _ in range(rounds))
    return _percentiles(means, rounds)


def _percentiles(values: Iterator[float], rounds: int) -> ScoreInterval | None:
    low, high = np.percentile(np.fromiter(values, float, rounds), (2.5, 97.5))
    if low == high:  # every round drew the same: the images hold no spread to go by
        return None
    return ScoreInterval(float(low), float(high), "bootstrap", rounds)

"""Confidence intervals of the AUC without a bootstrap: DeLong's, and Newcombe's for an AUC of 1."""

from math import exp, log, sqrt
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tlsearch.bundle.metrics import Labels, Probabilities, averaged_classes, class_aucs
from tlsearch.results.rank.interval import Z_95

HALVINGS = 60  # bisections of [0, 1]: down to floating-point precision


def auc_interval(
    labels: Labels, probabilities: Probabilities
) -> tuple[float, float, Literal["DeLong", "Newcombe"]] | None:
    """Return the 95 % interval (low, high) of the macro one-vs-rest AUC, and its method.

    The method is DeLong's variance, or Newcombe's if the AUC is 1, where the variance vanishes.
    Returns None if there are fewer than two classes, if a class has fewer than two images (one is
    enough for an AUC of 1), or if the variance or the AUC is 0.
    """
    counts = np.bincount(labels, minlength=probabilities.shape[1])
    if counts.min() < 1 or len(counts) < 2:
        return None
    auc, influence = auc_and_influence(labels, probabilities, counts)
    if auc == 1:
        return newcombe_low(counts), 1.0, "Newcombe"
    variance = delong_variance(labels, influence, counts)
    return None if not variance or not auc else (*_logit_ends(auc, sqrt(variance)), "DeLong")


def delong_variance(
    labels: Labels, influence: NDArray[np.float64], counts: NDArray[np.int64]
) -> float | None:
    """Return the variance of the macro AUC; None if a class has fewer than two images.

    With two classes, this is DeLong's variance (DeLong, DeLong and Clarke-Pearson 1988). With more,
    an image's influence on the AUC of one class is its centered DeLong component divided by the
    share of images on its side (of the class, or of the rest). Its influence on the macro AUC is
    the mean of these over the classes. The variance is the mean square of the influences divided by
    the number of images (LeDell, Petersen and van der Laan 2015, Electronic Journal of Statistics
    9:1583), with DeLong's m - 1 in place of m within each class.
    """
    if counts.min() < 2:
        return None
    means = np.bincount(labels, influence, len(counts)) / counts
    within = np.bincount(labels, (influence - means[labels]) ** 2, len(counts))
    squares = within * counts / (counts - 1) + counts * means**2
    return float(squares.sum() / len(labels) ** 2)


def newcombe_low(counts: NDArray[np.int64]) -> float:
    """Return the lower end of the 95 % interval of an AUC of 1, from the image count of each class.

    With two classes, this is Newcombe's interval (2006, method 5), whose variance (Hanley and
    McNeil 1982) depends only on the AUC and the image counts. With more classes, it is the mean
    over the classes, so the interval is too wide rather than too narrow.
    """
    total = int(counts.sum())
    return float(np.mean([_least_auc(int(m), total - int(m)) for m in counts]))


def auc_and_influence(
    labels: Labels, probabilities: Probabilities, counts: NDArray[np.int64]
) -> tuple[float, NDArray[np.float64]]:
    """Return the mean AUC of the classes, and the influence of each image on it, (n,)."""
    count, classes = probabilities.shape
    influence, wanted = np.zeros(count), averaged_classes(classes)
    aucs = class_aucs(labels, probabilities, wanted)
    for index, auc in zip(wanted, aucs, strict=True):
        inside, share = labels == index, counts[index] / count
        above, below = placements(probabilities[inside, index], probabilities[~inside, index])
        influence[inside] += (above - auc) / share
        influence[~inside] += (below - auc) / (1 - share)
    return float(aucs.mean()), influence / len(aucs)


def placements(
    inside: NDArray[np.floating], outside: NDArray[np.floating]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return DeLong's components of the scores inside a class, and of the scores outside.

    For a score inside, this is the share of the scores outside that are below it; for a score
    outside, the share of the scores inside that are above it. Equal scores count half.
    """
    order = np.argsort(inside, kind="stable")
    least = np.searchsorted(inside[order], outside, "left")  # scores inside that are below it
    most = np.searchsorted(inside[order], outside, "right")  # ... or equal to it
    size = len(inside)
    passed = sum(np.cumsum(np.bincount(row, minlength=size + 1))[:size] for row in (least, most))
    above = np.empty(size)
    above[order] = passed / (2 * len(outside))
    return above, 1 - (least + most) / (2 * size)


def _logit_ends(auc: float, error: float) -> tuple[float, float]:
    """Return the ends of an interval built on the logit scale, which stay in [0, 1] (Pepe 2003)."""
    middle, half = log(auc / (1 - auc)), Z_95 * error / (auc * (1 - auc))
    return 1 / (1 + exp(half - middle)), 1 / (1 + exp(-half - middle))


def _least_auc(inside: int, outside: int) -> float:
    """Return the AUC that lies 1.96 of its own standard errors below 1, found by bisection."""
    low, high, pairs = 0.0, 1.0, inside * outside
    for _ in range(HALVINGS):
        auc = (low + high) / 2
        spread = ((inside + outside) / 2 - 1) * ((1 - auc) / (2 - auc) + auc / (1 + auc))
        if (1 - auc) * pairs > Z_95**2 * auc * (1 + spread):
            low = auc
        else:
            high = auc
    return low

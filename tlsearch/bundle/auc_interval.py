"""How far an AUC can be trusted, in closed form: nothing is drawn."""

from math import exp, log, sqrt
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tlsearch.bundle.metrics import Labels, Probabilities, class_aucs, judged
from tlsearch.results.rank.interval import Z_95

HALVINGS = 60  # of the unit interval: as close as floating point comes


def auc_interval(
    labels: Labels, probabilities: Probabilities
) -> tuple[float, float, Literal["DeLong", "Newcombe"]] | None:
    """The 95 % interval of the macro one-against-the-rest AUC, and its method: DeLong's variance,
    or Newcombe where the AUC is perfect and has no variance.

    None where a class has fewer than two images (one suffices for a perfect AUC), or where all
    images are alike in what they say.
    """
    counts = np.bincount(labels, minlength=probabilities.shape[1])
    if counts.min() < 1 or len(counts) < 2:
        return None
    auc, influence = auc_and_influence(labels, probabilities, counts)
    if auc == 1:
        return newcombe(counts), 1.0, "Newcombe"
    variance = delong_variance(labels, influence, counts)
    return None if not variance or not auc else (*_logit_ends(auc, sqrt(variance)), "DeLong")


def delong_variance(
    labels: Labels, influence: NDArray[np.float64], counts: NDArray[np.int64]
) -> float | None:
    """The variance of the macro AUC; None where a class has fewer than two images.

    With two classes it is that of DeLong (DeLong, DeLong and Clarke-Pearson 1988). With more, each
    image's DeLong components in the AUC of every class, divided by the share of images on its side,
    are its influence on that AUC; the influence on the mean is the mean of the influences, and the
    variance follows from their squares (LeDell, Petersen and van der Laan 2015, Electronic Journal
    of Statistics 9:1583), with DeLong's m - 1 in place of m within each class.
    """
    if counts.min() < 2:
        return None
    means = np.bincount(labels, influence, len(counts)) / counts
    within = np.bincount(labels, (influence - means[labels]) ** 2, len(counts))
    squares = within * counts / (counts - 1) + counts * means**2
    return float(squares.sum() / len(labels) ** 2)


def newcombe(counts: NDArray[np.int64]) -> float:
    """The lower end of the 95 % interval of an AUC of 1, from the images of each class.

    With two classes it is that of Newcombe (2006, method 5), whose variance (Hanley and McNeil
    1982) depends on the AUC and the number of images alone. With more it is the mean over the
    classes, which makes the interval too wide rather than too narrow.
    """
    total = int(counts.sum())
    return float(np.mean([_least_auc(int(m), total - int(m)) for m in counts]))


def auc_and_influence(
    labels: Labels, probabilities: Probabilities, counts: NDArray[np.int64]
) -> tuple[float, NDArray[np.float64]]:
    """The mean AUC of the classes, and the influence of each image on it, (n,)."""
    count, classes = probabilities.shape
    influence, wanted = np.zeros(count), judged(classes)
    aucs = class_aucs(labels, probabilities, wanted)
    for place, auc in zip(wanted, aucs, strict=True):
        inside, share = labels == place, counts[place] / count
        above, below = placements(probabilities[inside, place], probabilities[~inside, place])
        influence[inside] += (above - auc) / share
        influence[~inside] += (below - auc) / (1 - share)
    return float(aucs.mean()), influence / len(aucs)


def placements(
    inside: NDArray[np.floating], outside: NDArray[np.floating]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """DeLong's components: for each score inside the share of outside ones below it, and for each
    outside the share of inside ones above it; equal scores count half.
    """
    order = np.argsort(inside, kind="stable")
    least = np.searchsorted(inside[order], outside, "left")  # inside ones below it
    most = np.searchsorted(inside[order], outside, "right")  # ... or equal to it
    size = len(inside)
    passed = sum(np.cumsum(np.bincount(row, minlength=size + 1))[:size] for row in (least, most))
    above = np.empty(size)
    above[order] = passed / (2 * len(outside))
    return above, 1 - (least + most) / (2 * size)


def _logit_ends(auc: float, error: float) -> tuple[float, float]:
    """The ends on the logit scale, so that none lies beyond 1 (Pepe 2003)."""
    middle, half = log(auc / (1 - auc)), Z_95 * error / (auc * (1 - auc))
    return 1 / (1 + exp(half - middle)), 1 / (1 + exp(-half - middle))


def _least_auc(inside: int, outside: int) -> float:
    """The AUC that lies 1.96 of its own standard errors below 1."""
    low, high, pairs = 0.0, 1.0, inside * outside
    for _ in range(HALVINGS):
        auc = (low + high) / 2
        spread = ((inside + outside) / 2 - 1) * ((1 - auc) / (2 - auc) + auc / (1 + auc))
        if (1 - auc) * pairs > Z_95**2 * auc * (1 + spread):
            low = auc
        else:
            high = auc
    return low

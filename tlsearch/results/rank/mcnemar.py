"""Paired tests of two classifiers: p-values from their predictions on the same images."""

from math import exp, fsum, lgamma, log

import numpy as np
from numpy.typing import NDArray

from tlsearch.base.array_types import Classes
from tlsearch.results.rank.macro import MACRO

ROUNDS = 1000
LEAST_ROUNDS = 200
DRAWN = 2 * 10**6  # random numbers per test, at most, unless LEAST_ROUNDS need more


def mcnemar(first_alone: int, second_alone: int) -> float:
    """Return the exact two-sided p-value of McNemar's test (1947).

    Only the first classifier is right on `first_alone` images, only the second on `second_alone`.
    """
    return min(1.0, 2 * _at_most(min(first_alone, second_alone), first_alone + second_alone))


def mcnemar_worse(worse: int, better: int) -> float:
    """Return the exact one-sided p-value of McNemar's test.

    It is the probability that at least `worse` of all changed images change for the worse, if a
    change for the better is equally likely.
    """
    return _at_most(better, worse + better)


def _at_most(most: int, count: int) -> float:
    """Return the probability of at most `most` heads in `count` tosses of a fair coin."""
    whole = lgamma(count + 1) - count * log(2)
    every = (exp(whole - lgamma(k + 1) - lgamma(count - k + 1)) for k in range(most + 1))
    return min(1.0, fsum(every))


def paired_p(metric: str, true: Classes, first: Classes, second: Classes) -> float | None:
    """Return the p-value for the difference of two classifiers in a metric.

    It is None for AUC and loss, which cannot be computed from predicted classes. `true` holds the
    true classes, `first` and `second` the predicted ones, (images,) each.
    """
    if metric == "accuracy":
        right, also = first == true, second == true
        return mcnemar(int((right & ~also).sum()), int((also & ~right).sum()))
    return _randomisation_p_value(metric, true, first, second) if metric in MACRO else None


def _randomisation_p_value(metric: str, true: Classes, first: Classes, second: Classes) -> float:
    """Return the p-value of the approximate randomisation test (Yeh 2000, arXiv:cs/0008005).

    It is the share of rounds in which the difference is at least as large after the two predictions
    of each image were swapped at random; the observed difference counts as one more round. The seed
    is fixed.
    """
    apart, classes = first != second, int(max(map(np.max, (true, first, second)))) + 1
    rounds = max(LEAST_ROUNDS, min(ROUNDS, DRAWN // max(1, int(apart.sum()))))
    rng, one, other, truth = np.random.default_rng(0), first[apart], second[apart], true[apart]
    every = np.bincount(true, minlength=classes)
    alike = _predicted_and_right(first[~apart], true[~apart], classes)
    both = sum(_predicted_and_right(predicted, truth, classes) for predicted in (one, other))

    def difference(predicted: Classes) -> float:
        drawn = _predicted_and_right(predicted, truth, classes)
        values = (MACRO[metric](every, *(alike + part)) for part in (drawn, both - drawn))
        return abs(next(values) - next(values))

    found = difference(one) - 1e-12  # equal differences may not agree in the last bit
    swaps = (rng.random(len(one)) < 0.5 for _ in range(rounds))
    hits = sum(difference(np.where(swap, one, other)) >= found for swap in swaps)
    return (hits + 1) / (rounds + 1)


def _predicted_and_right(predicted: Classes, true: Classes, classes: int) -> NDArray[np.int64]:
    """Return how often each class was predicted, and predicted correctly, (2, classes)."""
    rows = predicted, predicted[predicted == true]
    return np.stack([np.bincount(row, minlength=classes) for row in rows])

"""Whether two classifiers differ, by what they called the same images: p-values of paired tests."""

from math import exp, fsum, lgamma, log
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tlsearch.results.rank.macro import MACRO, macro_score

ROUNDS = 1000
LEAST_ROUNDS = 200
DRAWN = 2 * 10**6  # numbers that a test draws at most, unless the least rounds need more

Classes = NDArray[Any]  # (images,), the place of a class in the data's order


def mcnemar(first_alone: int, second_alone: int) -> float:
    """The exact two-sided p-value of McNemar's test (1947): `first_alone` images that only the
    first classifier got right, `second_alone` only the second.
    """
    count, least = first_alone + second_alone, min(first_alone, second_alone)
    whole = lgamma(count + 1) - count * log(2)
    tail = fsum(exp(whole - lgamma(k + 1) - lgamma(count - k + 1)) for k in range(least + 1))
    return min(1.0, 2 * tail)


def paired_p(metric: str, shown: Classes, first: Classes, second: Classes) -> float | None:
    """The p-value for the difference of two classifiers in a metric; None where predicted classes
    do not say: AUC and loss.
    """
    if metric == "accuracy":
        right, also = first == shown, second == shown
        return mcnemar(int((right & ~also).sum()), int((also & ~right).sum()))
    return _swapped(metric, shown, first, second) if metric in MACRO else None


def _swapped(metric: str, shown: Classes, first: Classes, second: Classes) -> float:
    """The approximate randomisation test (Yeh 2000, arXiv:cs/0008005): how often the difference is
    as great where each image's two predictions change places at random, by a fixed seed.
    """
    apart = np.flatnonzero(first != second)
    rounds = max(LEAST_ROUNDS, min(ROUNDS, DRAWN // max(1, len(apart))))
    rng, classes = np.random.default_rng(0), int(max(map(np.max, (shown, first, second)))) + 1

    def difference(swap: NDArray[np.bool_]) -> float:
        one, other = first.copy(), second.copy()
        one[apart[swap]], other[apart[swap]] = second[apart[swap]], first[apart[swap]]
        values = (macro_score(metric, shown, called, classes) for called in (one, other))
        return abs(next(values) - next(values))

    found = difference(np.zeros(len(apart), bool)) - 1e-12  # of equals some differ in the last bit
    hits = sum(difference(rng.random(len(apart)) < 0.5) >= found for _ in range(rounds))
    return (hits + 1) / (rounds + 1)

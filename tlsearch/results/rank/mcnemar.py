"""Whether two classifiers differ, by what they called the same images: p-values of paired tests."""

from math import exp, fsum, lgamma, log

import numpy as np
from numpy.typing import NDArray

from tlsearch.base.array_types import Classes
from tlsearch.results.rank.macro import MACRO

ROUNDS = 1000
LEAST_ROUNDS = 200
DRAWN = 2 * 10**6  # numbers that a test draws at most, unless the least rounds need more


def mcnemar(first_alone: int, second_alone: int) -> float:
    """The exact two-sided p-value of McNemar's test (1947): `first_alone` images that only the
    first classifier got right, `second_alone` only the second.
    """
    return min(1.0, 2 * _at_most(min(first_alone, second_alone), first_alone + second_alone))


def mcnemar_worse(worse: int, better: int) -> float:
    """The exact one-sided p-value of McNemar's test: how probable at least so many images `worse`
    are, were a change for the better as likely.
    """
    return _at_most(better, worse + better)


def _at_most(most: int, count: int) -> float:
    """The probability of at most so many heads in `count` throws of a fair coin."""
    whole = lgamma(count + 1) - count * log(2)
    every = (exp(whole - lgamma(k + 1) - lgamma(count - k + 1)) for k in range(most + 1))
    return min(1.0, fsum(every))


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
    apart, classes = first != second, int(max(map(np.max, (shown, first, second)))) + 1
    rounds = max(LEAST_ROUNDS, min(ROUNDS, DRAWN // max(1, int(apart.sum()))))
    rng, one, other, truth = np.random.default_rng(0), first[apart], second[apart], shown[apart]
    every = np.bincount(shown, minlength=classes)
    alike = _called_and_right(first[~apart], shown[~apart], classes)
    both = sum(_called_and_right(called, truth, classes) for called in (one, other))

    def difference(called: Classes) -> float:
        drawn = _called_and_right(called, truth, classes)
        values = (MACRO[metric](every, *(alike + part)) for part in (drawn, both - drawn))
        return abs(next(values) - next(values))

    found = difference(one) - 1e-12  # of equal ones some differ in the last bit
    swaps = (rng.random(len(one)) < 0.5 for _ in range(rounds))
    hits = sum(difference(np.where(swap, one, other)) >= found for swap in swaps)
    return (hits + 1) / (rounds + 1)


def _called_and_right(called: Classes, shown: Classes, classes: int) -> NDArray[np.int64]:
    """How often each class was called, and rightly so, (2, classes)."""
    rows = called, called[called == shown]
    return np.stack([np.bincount(row, minlength=classes) for row in rows])

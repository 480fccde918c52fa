"""Macro-averaged scores from the number of true, predicted and correct images per class."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.integer]  # (classes,), number of images per class


def balanced_accuracy(true: Counts, predicted: Counts, right: Counts) -> float:
    """Return the mean recall over the classes that occur among the true classes."""
    there = true > 0
    return float((right[there] / true[there]).mean())


def macro_f1(true: Counts, predicted: Counts, right: Counts) -> float:
    """Return the mean F1 over the classes that occur among the true or predicted classes."""
    there = true + predicted > 0
    return float((2 * right[there] / (true + predicted)[there]).mean())


MACRO: dict[str, Callable[[Counts, Counts, Counts], float]] = {
    "balanced_accuracy": balanced_accuracy,
    "macro_f1": macro_f1,
}

"""Macro-averaged scores from the number of true, predicted and correct images per class."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.integer]  # (classes,), number of images per class


def balanced_accuracy(shown: Counts, called: Counts, right: Counts) -> float:
    """Return the mean recall over the classes that occur among the true classes."""
    there = shown > 0
    return float((right[there] / shown[there]).mean())


def macro_f1(shown: Counts, called: Counts, right: Counts) -> float:
    """Return the mean F1 over the classes that occur among the true or predicted classes."""
    there = shown + called > 0
    return float((2 * right[there] / (shown + called)[there]).mean())


MACRO: dict[str, Callable[[Counts, Counts, Counts], float]] = {
    "balanced_accuracy": balanced_accuracy,
    "macro_f1": macro_f1,
}

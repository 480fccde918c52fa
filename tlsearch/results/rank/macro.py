"""Scores that count every class alike, from how often each class was shown, called, and right."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.integer]  # (classes,), images of each class


def balanced_accuracy(shown: Counts, called: Counts, right: Counts) -> float:
    """Mean recall over the classes that some image shows."""
    there = shown > 0
    return float((right[there] / shown[there]).mean())


def macro_f1(shown: Counts, called: Counts, right: Counts) -> float:
    """Mean F1 over the classes that some image shows or is called."""
    there = shown + called > 0
    return float((2 * right[there] / (shown + called)[there]).mean())


MACRO: dict[str, Callable[[Counts, Counts, Counts], float]] = {
    "balanced_accuracy": balanced_accuracy,
    "macro_f1": macro_f1,
}

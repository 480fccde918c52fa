"""Resample learned patch positions to another number of patches, as PyTorch interpolates them.

TensorFlow's bicubic interpolation differs: it uses Keys' cubic with a = -0.5, PyTorch uses a =
-0.75 unless it antialiases. The published networks were made with PyTorch's.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

REACH = 2  # places on each side that the cubic covers


def interpolate_positions(table: NDArray[Any], side: int, antialias: bool) -> Any:
    """Resample a square of positions (places, width), stored row by row, to `side` places along
    each edge of the new square.
    """
    before = round(len(table) ** 0.5)
    if before == side:
        return table
    weights = resampling_weights(before, side, antialias)
    square = table.reshape(before, before, -1).astype(np.float64)
    resized = np.einsum("ai,bj,ijw->abw", weights, weights, square)
    return resized.reshape(side * side, -1).astype(table.dtype)


def resampling_weights(before: int, after: int, antialias: bool) -> Any:
    """Return the resampling weights, (after, before); rows sum to 1.

    Without antialiasing, a place beyond the edge counts as the place at the edge. With it, the
    cubic widens in proportion as places become fewer, and is cut off at the edge.
    """
    step = before / after
    centres = (np.arange(after) + 0.5) * step - 0.5
    if antialias:
        distances = (centres[:, None] - np.arange(before)) / max(1.0, step)
        weights = _cubic(distances, -0.5)
        return weights / weights.sum(axis=1, keepdims=True)
    weights = np.zeros((after, before))
    for offset in range(1 - REACH, 1 + REACH):
        place = np.floor(centres).astype(int) + offset
        share = _cubic(centres - place, -0.75)
        np.add.at(weights, (np.arange(after), place.clip(0, before - 1)), share)
    return weights


def _cubic(distances: NDArray[Any], a: float) -> NDArray[Any]:
    """Return Keys' cubic (1981), which is 0 from `REACH` on."""
    x = np.abs(distances)
    near = (a + 2) * x**3 - (a + 3) * x**2 + 1
    far = a * (x**3 - 5 * x**2 + 8 * x - 4)
    return np.where(x <= 1, near, np.where(x < REACH, far, 0.0))

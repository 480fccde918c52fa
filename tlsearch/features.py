"""The feature store: activations of a frozen prefix, computed once and shared by every trial."""

import hashlib
from collections.abc import Callable
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tlsearch.arrays import ArrayStore, Blocks
from tlsearch.data.listing import Split
from tlsearch.data.sources import ImageData
from tlsearch.errors import DataError


@dataclass(frozen=True)
class FeatureKey:
    """All that an activation depends on; equal keys mean equal arrays.

    `weights` and `images` are digests of contents; `cut` names the tensor; `view` is 0 for the
    clean images.
    """

    weights: str
    cut: str
    preprocess: str
    image_px: int
    dtype: str
    images: str
    view: int = 0

    @property
    def name(self) -> str:
        """The key as a file name."""
        text = "\0".join(str(part) for part in astuple(self))
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


class FeatureStore:
    """Arrays of activations under one folder, (n, ...) in the order of a split's indices."""

    def __init__(self, cache: Path, dtype: str) -> None:
        self.dtype = dtype
        self._arrays = ArrayStore(cache / "features")

    def open(self, key: FeatureKey, rows: int, make: Callable[[], Blocks]) -> NDArray[Any]:
        """The activations of this key, memory-mapped; `make` yields them where they are missing."""
        return self._arrays.open(key.name, rows, lambda: map(self._rounded, make()))

    def _rounded(self, block: NDArray[Any]) -> NDArray[Any]:
        """A block in the store's type; DataError where its numbers do not fit into it."""
        with np.errstate(over="ignore"):
            rounded = block.astype(self.dtype)
        if np.isinf(rounded).any() and np.isfinite(block).all():
            raise DataError(
                f"activations up to {np.abs(block).max():.3g} do not fit into {self.dtype}; "
                "set feature_dtype: float32"
            )
        return rounded


def split_digest(data: ImageData, split: Split) -> str:
    """A digest of a split's pictures in their order."""
    contents = np.ascontiguousarray(data.hashes[data.splits[split]])
    return hashlib.blake2b(contents.tobytes(), digest_size=16).hexdigest()

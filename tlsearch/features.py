"""The feature store: activations of a frozen prefix, computed once and shared by every trial."""

import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tlsearch.arrays import SHARD_ROWS, ArrayStore, Blocks, NoRoomError, Prepare
from tlsearch.data.listing import Split
from tlsearch.data.sources import ImageData
from tlsearch.errors import DataError
from tlsearch.shards import ArraySpec, Block

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FeatureKey:
    """All that an activation depends on; equal keys mean equal arrays.

    `weights` and `images` are digests of contents; `cut` names the tensor; `view` says how the
    images were augmented, "" for the clean ones.
    """

    weights: str
    cut: str
    preprocess: str
    image_px: int
    dtype: str
    images: str
    view: str = ""

    @property
    def name(self) -> str:
        """The key as a file name."""
        text = "\0".join(str(part) for part in astuple(self))
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


@dataclass(frozen=True)
class Activation:
    """An activation that is asked for: its key, and the shape of one row."""

    key: FeatureKey
    shape: tuple[int, ...]


class FeatureStore:
    """Arrays of activations under one folder, (n, ...) in the order of a split's indices.

    `budget_bytes` bounds what the folder holds, the least recently used goes first; None is no
    bound, and 0 switches the store off: it keeps nothing and finds nothing.
    """

    def __init__(self, cache: Path, dtype: str, budget_bytes: int | None = None) -> None:
        self.dtype = dtype
        self._arrays = ArrayStore(cache / "features", budget_bytes)

    def open(self, key: FeatureKey, rows: int, make: Callable[[], Blocks]) -> NDArray[Any]:
        """The activations of this key, memory-mapped; `make` yields them where they are missing."""
        return self._arrays.open(key.name, rows, lambda: map(self._rounded, make()), asdict(key))

    def holds(self, key: FeatureKey) -> bool:
        """Whether these activations are there already."""
        return self._arrays.budget_bytes != 0 and self._arrays.path(key.name).is_file()

    def open_together(
        self,
        asked: Sequence[Activation],
        rows: int,
        prepare: Prepare,
        shard_rows: int = SHARD_ROWS,
    ) -> list[NDArray[Any]] | None:
        """Activations of the same pictures, memory-mapped; None where the budget cannot hold them.

        Those that are missing are made in one pass over `rows` rows, shared with every process that
        asks for the same meanwhile: `prepare(places)` is told which they are and gives a function
        of (start, stop) that answers one block for each of them, in that order.
        """
        if self._arrays.budget_bytes == 0:
            return None
        specs = [self._spec(activation, rows) for activation in asked]
        try:
            return self._arrays.open_together(specs, self._rounding(prepare), shard_rows)
        except NoRoomError as error:
            log.info("%s: not kept", error)
            return None

    def _spec(self, asked: Activation, rows: int) -> ArraySpec:
        return ArraySpec(asked.key.name, (rows, *asked.shape), self.dtype, asdict(asked.key))

    def _rounding(self, prepare: Prepare) -> Prepare:
        def prepared(missing: tuple[int, ...]) -> Block:
            block = prepare(missing)
            return lambda start, stop: [self._rounded(array) for array in block(start, stop)]

        return prepared

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

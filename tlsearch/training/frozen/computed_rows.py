"""Rows that are computed from others whenever they are asked for."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tlsearch.features import rounded
from tlsearch.training.epoch.loop import BLOCK_BYTES, row_bytes


@dataclass(frozen=True, eq=False)
class Computed:
    """An array whose rows are a function of rows of another; none is kept.

    `function` takes some of `rows`, as many as may be in memory at once, and gives as many rows of
    `row_shape`, which are rounded to `dtype`; DataError where they do not fit into it.
    """

    rows: Any
    function: Callable[[NDArray[Any]], NDArray[Any]]
    row_shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def shape(self) -> tuple[int, ...]:
        """As of the array."""
        return (len(self.rows), *self.row_shape)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, which: Any) -> NDArray[Any]:
        places, step = np.arange(len(self))[which], max(1, BLOCK_BYTES // row_bytes(self.rows))
        parts = [
            rounded(self.function(self.rows[places[i : i + step]]), self.dtype)
            for i in range(0, len(places), step)
        ]
        return np.concatenate(parts)

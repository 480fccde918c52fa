"""Rows that are computed from others whenever they are asked for."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Computed:
    """An array whose rows are a function of rows of another; none is kept.

    `function` takes some of `rows` and gives as many rows of `row_shape`, rounded to `dtype`.
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
        return self.function(self.rows[which]).astype(self.dtype)

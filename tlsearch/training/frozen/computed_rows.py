"""Rows computed from other rows on each access."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from tlsearch.base.array_types import Floats
from tlsearch.config.device import BLOCK_BYTES
from tlsearch.features import cast_activations
from tlsearch.training.epoch.prediction import Array, Index, row_bytes


@dataclass(frozen=True, eq=False)
class Computed:
    """An array whose rows are computed from the rows of another array on each access; none is kept.

    `function` maps an index into `rows` to as many results of `row_shape`, which are rounded to
    `dtype`; an access raises TooLargeError if they do not fit into it. Each call of `function`
    covers at most `block_bytes` of `rows`.
    """

    rows: Array
    function: Callable[[Index], Floats]
    row_shape: tuple[int, ...]
    dtype: np.dtype[np.floating]
    block_bytes: int = BLOCK_BYTES

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the whole array."""
        return (len(self.rows), *self.row_shape)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, which: Index) -> Floats:
        step = max(1, self.block_bytes // row_bytes(self.rows))
        parts = [
            cast_activations(self.function(few), self.dtype)
            for few in some_at_a_time(which, len(self), step)
        ]
        return np.concatenate(parts)


def some_at_a_time(which: Index, count: int, step: int) -> Iterator[Index]:
    """Split an index into `count` rows into parts of at most `step` rows. A slice is split into
    slices, which need no array of row numbers.
    """
    if isinstance(which, slice) and which.step in (None, 1):
        start, stop, _ = which.indices(count)
        for i in range(start, max(stop, start + 1), step):
            yield slice(i, min(i + step, stop))
        return
    indices = np.arange(count)[which]
    for i in range(0, max(1, len(indices)), step):
        yield indices[i : i + step]

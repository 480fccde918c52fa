"""Rows on disk or in memory, and one compiled function over all of them, some at a time."""

import functools
from collections.abc import Callable
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow import Tensor

from tlsearch.base.cores import one_ahead
from tlsearch.base.phases import Counter
from tlsearch.config.device import CPU_PROFILE, DeviceProfile

Index = slice | NDArray[np.integer]  # of rows
Function = Callable[[Tensor], Tensor]
Graph: TypeAlias = tf.types.experimental.PolymorphicFunction  # as tf.function makes it


class Array(Protocol):
    """Rows in memory, on disk, or computed when they are asked for."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows first."""

    @property
    def dtype(self) -> object:
        """Of one number."""

    def __len__(self) -> int: ...

    def __getitem__(self, which: Index, /) -> NDArray[np.number] | Tensor: ...


@runtime_checkable
class Made(Protocol):
    """Rows that the device makes."""

    def tensor(self, which: Index, /) -> Tensor:
        """Some of them, in the memory of the device."""


def tensor_of(rows: Array, which: Index) -> Tensor:
    """Some rows as a tensor in the memory of the device; what is made there does not leave it."""
    if isinstance(rows, Made):
        return rows.tensor(which)
    if tf.is_tensor(rows) and not isinstance(which, slice):
        return tf.gather(rows, which)
    return tf.convert_to_tensor(rows[which])


def compiled_prediction(
    function: Function, rows: Array, xla_rows: int | None = None
) -> "PaddedPrediction | Graph":
    """`function` of float32 rows as one graph for any number of rows like these.

    With `xla_rows` XLA compiles it, for at most so many rows.
    """
    if xla_rows is not None:
        return PaddedPrediction(function, rows, xla_rows)

    @tf.function(input_signature=[any_number_of(rows)], jit_compile=False)
    def predict(x: Tensor) -> Tensor:
        return function(tf.cast(x, tf.float32))

    return predict


class PaddedPrediction:
    """A function that XLA compiles once, for `rows` rows like these, applied to so many or fewer:
    they are padded, and what the function gives for the padding is cut off.
    """

    def __init__(self, function: Function, like: Array, rows: int) -> None:
        fixed = tf.TensorSpec((rows, *like.shape[1:]), like.dtype)
        whole = tf.function(input_signature=[fixed], jit_compile=True)
        self.graph = whole(lambda x: function(tf.cast(x, tf.float32)))
        self.rows = rows

    def __call__(self, few: Tensor) -> Tensor:
        """What the function gives for at most so many rows."""
        count = len(few)
        padding = [(0, self.rows - count), *[(0, 0)] * (len(few.shape) - 1)]
        found = self.graph(few if count == self.rows else tf.pad(few, padding))
        return tf.nest.map_structure(lambda one: one[:count], found)

    def get_concrete_function(self) -> object:
        """Its graph, traced now where it was not before."""
        return self.graph.get_concrete_function()


def any_number_of(rows: Array) -> tf.TensorSpec:
    """The shape and type of rows like these, whatever their number."""
    return tf.TensorSpec((None, *rows.shape[1:]), rows.dtype)


def row_bytes(rows: Array) -> int:
    """Bytes of one row of an array or a tensor."""
    size: int = tf.as_dtype(rows.dtype).size
    return max(1, int(np.prod(rows.shape[1:])) * size)


def rows_per_step(rows: Array, device: DeviceProfile = CPU_PROFILE) -> int:
    """How many rows evaluation takes at a time."""
    return device.rows_at_once(row_bytes(rows))


def run_blocks(
    predict: PaddedPrediction | Graph | Function,
    rows: Array,
    counter: Counter | None = None,
    device: DeviceProfile = CPU_PROFILE,
) -> NDArray[np.float32]:
    """Apply a compiled function to all rows, some at a time, and join what it gives; `counter`
    counts the rows.
    """
    step = predict.rows if isinstance(predict, PaddedPrediction) else rows_per_step(rows, device)
    blocks = []
    steps = [slice(start, start + step) for start in range(0, len(rows), step)]
    threads = 0 if tf.is_tensor(rows) else device.step_overlap
    with one_ahead(functools.partial(tensor_of, rows), steps, threads) as read:
        for few in read:
            blocks.append(np.asarray(predict(few)))
            if counter is not None:
                counter.advance(len(few))
    return np.concatenate(blocks)

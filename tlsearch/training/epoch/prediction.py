"""Rows on disk or in memory, and one compiled function over all of them, some at a time."""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tlsearch.base.phases import Counter
from tlsearch.config.device import CPU_PROFILE, DeviceProfile


class Array(Protocol):
    """Rows in memory, on disk, or computed when they are asked for."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows first."""

    @property
    def dtype(self) -> Any:
        """Of one number."""

    def __len__(self) -> int: ...

    def __getitem__(self, which: Any, /) -> Any: ...


def compiled_prediction(
    function: Callable[[Any], Any], rows: Any, xla_rows: int | None = None
) -> Any:
    """`function` of float32 rows as one graph for any number of rows like these.

    With `xla_rows` XLA compiles it, once, for that many: fewer are padded, and what the function
    gives for the padding is cut off; more are refused.
    """
    if xla_rows is not None:
        return _padded(function, rows, xla_rows)

    @tf.function(input_signature=[any_number_of(rows)], jit_compile=False)
    def predict(x: Any) -> Any:
        return function(tf.cast(x, tf.float32))

    return predict


def _padded(function: Callable[[Any], Any], rows: Any, xla_rows: int) -> Any:
    fixed = tf.TensorSpec((xla_rows, *rows.shape[1:]), rows.dtype)

    @tf.function(input_signature=[fixed], jit_compile=True)
    def whole(x: Any) -> Any:
        return function(tf.cast(x, tf.float32))

    def predict(x: Any) -> Any:
        count = len(x)
        padding = [(0, xla_rows - count), *[(0, 0)] * (len(rows.shape) - 1)]
        found = whole(x if count == xla_rows else tf.pad(x, padding))
        return tf.nest.map_structure(lambda one: one[:count], found)

    predict.graph = whole  # type: ignore[attr-defined]
    return predict


def any_number_of(rows: Any) -> tf.TensorSpec:
    """The shape and type of rows like these, whatever their number."""
    return tf.TensorSpec((None, *rows.shape[1:]), rows.dtype)


def row_bytes(rows: Any) -> int:
    """Bytes of one row of an array or a tensor."""
    size: int = tf.as_dtype(rows.dtype).size
    return max(1, int(np.prod(rows.shape[1:])) * size)


def rows_per_step(rows: Any, device: DeviceProfile = CPU_PROFILE) -> int:
    """How many rows evaluation takes at a time."""
    return device.rows_at_once(row_bytes(rows))


def run_blocks(
    predict: Any,
    rows: Any,
    counter: Counter | None = None,
    device: DeviceProfile = CPU_PROFILE,
) -> NDArray[Any]:
    """Apply a compiled function to all rows, some at a time, and join what it gives; `counter`
    counts the rows.
    """
    step, blocks = rows_per_step(rows, device), []
    for start in range(0, len(rows), step):
        blocks.append(np.asarray(predict(rows[start : start + step])))
        if counter is not None:
            counter.reach(min(start + step, len(rows)))
    return np.concatenate(blocks)

"""Apply one compiled function to rows on disk or in memory, block by block."""

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
    """Rows in memory, on disk, or computed on access."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape, with the number of rows first."""

    @property
    def dtype(self) -> object:
        """The type of one number."""

    def __len__(self) -> int: ...

    def __getitem__(self, which: Index, /) -> NDArray[np.number] | Tensor: ...


@runtime_checkable
class Made(Protocol):
    """Rows that the device computes."""

    def tensor(self, which: Index, /) -> Tensor:
        """Return the selected rows in the memory of the device."""


def tensor_of(rows: Array, which: Index) -> Tensor:
    """Return the selected rows as a tensor in the memory of the device; rows computed there are not
    copied to the host.
    """
    if isinstance(rows, Made):
        return rows.tensor(which)
    if tf.is_tensor(rows) and not isinstance(which, slice):
        return tf.gather(rows, which)
    return tf.convert_to_tensor(rows[which])


def compiled_prediction(
    function: Function, rows: Array, xla_rows: int | None = None
) -> "PaddedPrediction | Graph":
    """Compile `function` of float32 rows as one graph for any number of rows like these.

    With `xla_rows`, XLA compiles it for at most that many rows.
    """
    if xla_rows is not None:
        return PaddedPrediction(function, rows, xla_rows)

    @tf.function(input_signature=[row_spec(rows)], jit_compile=False)
    def predict(x: Tensor) -> Tensor:
        return function(tf.cast(x, tf.float32))

    return predict


class PaddedPrediction:
    """A function that XLA compiles once for `rows` rows and that accepts as many or fewer: the
    input is padded, and the results of the padding are cut off.
    """

    def __init__(self, function: Function, like: Array, rows: int) -> None:
        fixed = tf.TensorSpec((rows, *like.shape[1:]), like.dtype)
        whole = tf.function(input_signature=[fixed], jit_compile=True)
        self.graph = whole(lambda x: function(tf.cast(x, tf.float32)))
        self.rows = rows

    def __call__(self, few: Tensor) -> Tensor:
        """Return the results for at most `rows` rows."""
        count = len(few)
        padding = [(0, self.rows - count), *[(0, 0)] * (len(few.shape) - 1)]
        found = self.graph(few if count == self.rows else tf.pad(few, padding))
        return tf.nest.map_structure(lambda one: one[:count], found)

    def get_concrete_function(self) -> object:
        """Return the graph, tracing it if necessary."""
        return self.graph.get_concrete_function()


def row_spec(rows: Array) -> tf.TensorSpec:
    """Return the shape and type of rows like these, for any number of rows."""
    return tf.TensorSpec((None, *rows.shape[1:]), rows.dtype)


def row_bytes(rows: Array) -> int:
    """Return the bytes of one row of an array or a tensor."""
    size: int = tf.as_dtype(rows.dtype).size
    return max(1, int(np.prod(rows.shape[1:])) * size)


def rows_per_step(rows: Array, device: DeviceProfile = CPU_PROFILE) -> int:
    """Return how many rows a step of evaluation takes."""
    return device.rows_at_once(row_bytes(rows))


def run_blocks(
    predict: PaddedPrediction | Graph | Function,
    rows: Array,
    counter: Counter | None = None,
    device: DeviceProfile = CPU_PROFILE,
) -> NDArray[np.float32]:
    """Apply a compiled function to all rows, block by block, and concatenate the results; `counter`
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

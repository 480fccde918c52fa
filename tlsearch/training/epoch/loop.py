"""The compiled epoch: one graph runs all steps over a block of rows, for many trials in turn."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow import Tensor

from tlsearch.base.array_types import Classes
from tlsearch.base.cores import one_ahead
from tlsearch.base.phases import phase
from tlsearch.config.device import CPU_PROFILE, DeviceProfile
from tlsearch.training.epoch.optimizer import Optimizer
from tlsearch.training.epoch.prediction import (
    Array,
    Graph,
    compiled_prediction,
    row_bytes,
    row_spec,
    rows_per_step,
    run_blocks,
    tensor_of,
)

Read = tuple[int, Tensor, Classes, NDArray[np.int32]]
# (rows as float32, training, seed of two integers) -> logits (n, classes)
Forward = Callable[[Tensor, bool, Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Steps:
    """The results of an epoch's steps, in order, with dropout active.

    `loss` is the mean over the epoch, `losses`, (steps,), the mean over the images of each step.
    The others are predictions for each image just before its own step: `predicted`, (n,), is its
    most probable class; `true_probability`, (n,), the probability of its true class;
    `probabilities`, (m, classes), are those of the first m images, as many as were requested.
    """

    loss: float
    losses: NDArray[np.float32]
    predicted: NDArray[np.int32]
    true_probability: NDArray[np.float32]
    probabilities: NDArray[np.float32]


class Loop:
    """Training and prediction of one function over arrays that may not fit in memory.

    Training and prediction are each traced once for all trials: learning rate, weight decay, label
    smoothing, batch size and seed are tensors. `rows` gives the shape and type of the inputs,
    `optimizer` holds the trainable variables. `pieces` > 1 computes the gradient of a step in that
    many parts, which saves memory.

    With `jit`, XLA compiles both, and a training step once per batch size. A smaller batch is
    padded with rows whose loss has weight 0, so batch normalisation must not train in it. A step in
    pieces is not compiled by XLA.
    """

    def __init__(
        self,
        forward: Forward,
        rows: Array,
        optimizer: Optimizer,
        pieces: int = 1,
        device: DeviceProfile = CPU_PROFILE,
        jit: bool = False,
    ) -> None:
        self.optimizer = optimizer
        self._device = device
        self._smoothing = tf.Variable(0.0, trainable=False)
        self._weights = tf.Variable(tf.ones(1), trainable=False, shape=(None,))
        self._forward = forward
        self._pieces = pieces
        self._rows = row_spec(rows)
        self._jit = jit and pieces == 1
        self._by_xla = tf.function(self._step, jit_compile=True)
        self._trainings: dict[int | None, Graph] = {}  # by batch size; None without XLA
        self._predict = compiled_prediction(
            lambda x: tf.nn.softmax(forward(x, False, _NO_SEED)),
            rows,
            max(1, min(rows_per_step(rows, device), len(rows))) if jit else None,
        )

    def begin(
        self,
        learning_rate: float,
        weight_decay: float,
        smoothing: float = 0.0,
        class_weights: NDArray[np.float32] | None = None,
    ) -> None:
        """Reset the loop for a new trial, with its rates and the loss weight of each class."""
        self.optimizer.begin(learning_rate, weight_decay)
        self._smoothing.assign(smoothing)
        self._weights.assign(np.ones(1, np.float32) if class_weights is None else class_weights)

    def train(
        self,
        rows: Array,
        labels: Classes,
        order: Classes,
        batch: int,
        seed: int,
        noted: int = 0,
    ) -> Steps:
        """Train one epoch over `rows[order]`; losses are NaN once training has diverged. The
        probabilities of the first `noted` images are kept.

        `rows` is an array or a tensor. An array on disk is read in blocks, the next one while the
        network trains on the current one.
        """
        train = self._training(batch if self._jit else None)
        total, each = tf.constant(0.0), []
        with _blocks(rows, labels, order.astype(np.int32), batch, self._device) as blocks:
            for offset, x, y, indices in blocks:
                left = max(0, noted - offset)
                total, *found = train(x, y, indices, batch, (seed, offset), left, total)
                each.append(found)
        return Steps(float(total) / len(order), *map(np.concatenate, zip(*each, strict=True)))

    def predict(self, rows: Array) -> NDArray[np.float32]:
        """Return class probabilities, (n, classes) float32, in the order of the rows."""
        return run_blocks(self._predict, rows, device=self._device)

    def _training(self, xla_batch: int | None) -> Graph:
        """Return the graph of an epoch. It is traced together with the graph of predictions before
        the first epoch, which takes seconds for a large network.
        """
        if xla_batch not in self._trainings:
            train = self._trainings[xla_batch] = self._compiled_training(xla_batch)
            with phase("tracing", 2, "graphs") as counter:
                for graph in (train, self._predict):
                    graph.get_concrete_function()
                    counter.advance()
        return self._trainings[xla_batch]

    def _compiled_training(self, xla_batch: int | None) -> Graph:
        whole = tf.TensorSpec((None,), tf.int32)
        scalar, pair = tf.TensorSpec((), tf.int32), tf.TensorSpec((2,), tf.int32)
        signature = [self._rows, whole, whole, scalar, pair, scalar, tf.TensorSpec(())]

        @tf.function(input_signature=signature, jit_compile=False)
        def train(
            features: Tensor,
            labels: Tensor,
            order: Tensor,
            batch: Tensor,
            seed: Tensor,
            noted: Tensor,
            total: Tensor,
        ) -> tuple[Tensor, ...]:
            losses = _growing(())
            predicted, of_true = _growing((None,), tf.int32), _growing((None,))
            noted_probabilities = _growing((None, None))
            for start in tf.range(0, tf.shape(order)[0], batch):
                rows, step = order[start : start + batch], start // batch
                y = tf.gather(labels, rows)
                drawn = seed + tf.stack([0, start])
                if xla_batch is None:
                    loss, logits = self._step(tf.gather(features, rows), y, drawn)
                else:
                    loss, logits = self._padded_step(features, labels, rows, drawn, xla_batch)
                total += loss
                losses = losses.write(step, loss / tf.cast(tf.size(y), tf.float32))
                probabilities = tf.nn.softmax(logits)
                predicted = predicted.write(step, tf.argmax(probabilities, 1, tf.int32))
                of_true = of_true.write(step, tf.gather(probabilities, y, batch_dims=1))
                few = probabilities[: tf.maximum(0, noted - start)]
                noted_probabilities = noted_probabilities.write(step, few)
            results = predicted.concat(), of_true.concat(), noted_probabilities.concat()
            return total, losses.stack(), *results

        return train

    def _padded_step(
        self, features: Tensor, labels: Tensor, rows: Tensor, seed: Tensor, size: int
    ) -> tuple[Tensor, Tensor]:
        """Take a step that XLA compiled for `size` rows with at most that many rows."""
        count = tf.size(rows)
        whole = tf.ensure_shape(tf.pad(rows, [[0, size - count]]), (size,))
        x, y = tf.gather(features, whole), tf.gather(labels, whole)
        loss, logits = self._by_xla(x, y, seed, count)
        return loss, logits[:count]

    def _step(
        self, x: Tensor, y: Tensor, seed: Tensor, count: Tensor = None
    ) -> tuple[Tensor, Tensor]:
        """Take one optimizer step on the first `count` rows (all by default). Return the sum of
        their losses before the step, and the logits.
        """
        weights = None if count is None else tf.sequence_mask(count, y.shape[0], tf.float32)
        total = tf.cast(tf.shape(y)[0] if count is None else count, tf.float32)
        scaling = self.optimizer.loss_scale
        factor = None if scaling is None else scaling.scale / total
        if self._pieces == 1:
            loss, logits, gradients = self._gradients(x, y, seed, factor, weights)
        else:
            loss, logits, gradients = self._in_pieces(x, y, seed, factor)
        if factor is None:
            gradients = [gradient / total for gradient in gradients]
        self.optimizer.apply(gradients)
        return loss, logits

    def _gradients(
        self, x: Tensor, y: Tensor, seed: Tensor, factor: Tensor, weights: Tensor = None
    ) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Return the weighted sum of the rows' losses, the logits, and the gradients of that loss
        times `factor`.
        """
        with tf.GradientTape() as tape:
            logits = self._forward(tf.cast(x, tf.float32), True, seed)
            each = self._losses(logits, y)
            loss = tf.reduce_sum(each if weights is None else each * weights)
            scaled = loss if factor is None else loss * factor
        return loss, logits, tape.gradient(scaled, self.optimizer.variables)

    def _losses(self, logits: Tensor, y: Tensor) -> Tensor:
        classes, share = logits.shape[-1], self._smoothing
        wanted = tf.one_hot(y, classes) * (1.0 - share) + share / classes
        weight = tf.gather(self._weights, tf.minimum(y, tf.size(self._weights) - 1))
        return weight * tf.nn.softmax_cross_entropy_with_logits(wanted, logits)

    def _in_pieces(
        self, x: Tensor, y: Tensor, seed: Tensor, factor: Tensor
    ) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Compute the same as `_gradients`, one part of the rows after another."""
        size = (tf.shape(y)[0] + self._pieces - 1) // self._pieces
        loss, all_logits = tf.constant(0.0), _growing((None, None))
        sums = [tf.zeros(variable.shape) for variable in self.optimizer.variables]
        for begin in tf.range(0, tf.shape(y)[0], size):
            part = slice(begin, begin + size)
            drawn = seed + tf.stack([0, begin])
            more, logits, gradients = self._gradients(x[part], y[part], drawn, factor)
            loss += more
            all_logits = all_logits.write(begin // size, logits)
            sums = [so_far + each for so_far, each in zip(sums, gradients, strict=True)]
        return loss, all_logits.concat(), sums


def _growing(shape: tuple[int | None, ...], dtype: tf.DType = tf.float32) -> tf.TensorArray:
    """Return a TensorArray to which a graph appends a tensor of this shape at each step."""
    return tf.TensorArray(dtype, size=0, dynamic_size=True, element_shape=shape, infer_shape=False)


_NO_SEED = (0, 0)


@contextmanager
def _blocks(
    rows: Array, labels: Classes, order: NDArray[np.int32], batch: int, device: DeviceProfile
) -> Iterator[Iterator[Read]]:
    """Yield (offset, rows, labels, order within the rows): a tensor in one block, an array in
    blocks of whole batches, so that the blocks in memory at a time fit into `block_bytes`.
    """
    if tf.is_tensor(rows):
        yield iter([(0, rows, labels, order)])
        return
    held_bytes = row_bytes(rows) * batch * (1 + device.overlap)
    size = max(1, device.block_bytes // held_bytes) * batch

    def read(start: int) -> Read:
        chosen = order[start : start + size]
        indices = np.arange(len(chosen), dtype=np.int32)
        return start, tensor_of(rows, chosen), labels[chosen], indices

    with one_ahead(read, range(0, len(order), size), device.overlap) as blocks:
        yield blocks

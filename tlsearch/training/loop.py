"""The compiled epoch: one graph runs all steps over a block of arrays."""

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tlsearch.config.trial import TrialConfig
from tlsearch.data.sources import Rows

BLOCK_BYTES = 256 * 2**20
EVAL_BATCH = 128

Array = NDArray[Any] | Rows
Logits = Callable[[Any, bool], Any]


def build_optimizer(name: str, learning_rate: float, weight_decay: float) -> Any:
    """A Keras optimizer; weight decay is decoupled and spares biases and normalisation."""
    options: dict[str, Any] = {"weight_decay": weight_decay or None}
    if name == "sgd":
        options |= {"momentum": 0.9, "nesterov": True}
    kinds = {"adam": "Adam", "adamw": "AdamW", "sgd": "SGD", "rmsprop": "RMSprop"}
    if name == "adamw":
        options["weight_decay"] = weight_decay  # AdamW refuses None
    optimizer = getattr(keras.optimizers, kinds[name])(learning_rate, **options)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


def trial_optimizer(trial: TrialConfig) -> Any:
    """The optimizer of the trial's own phase."""
    return build_optimizer(trial.optimizer, trial.learning_rate, trial.weight_decay)


class Loop:
    """Training and prediction of one function over arrays that may not fit in memory.

    `logits(x, training)` is traced once for each; `rows` shows the shape and type of what it is
    given; `variables` are what the optimizer moves.
    """

    def __init__(
        self, logits: Logits, rows: Array, variables: list[Any], optimizer: Any, batch: int
    ) -> None:
        self.optimizer = optimizer
        self.batch = batch
        optimizer.build(variables)
        self._train = _compiled_training(logits, rows, variables, optimizer, batch)
        self._predict = compiled_prediction(lambda x: tf.nn.softmax(logits(x, False)), rows)

    def train(self, features: Array, labels: NDArray[Any], order: NDArray[Any]) -> float:
        """One epoch over `features[order]`; the mean loss of its steps, NaN once it diverged."""
        total = 0.0
        for rows in _blocks_of_rows(order, features, self.batch):
            total += float(self._train(features[rows], labels[rows]))
        return total / len(order)

    def predict(self, features: Array) -> NDArray[Any]:
        """Class probabilities, (n, classes) float32, in the order of the features."""
        return run_blocks(self._predict, features)


def compiled_prediction(function: Callable[[Any], Any], rows: Array) -> Any:
    """`function` of float32 rows as one graph for any number of rows like these."""

    @tf.function(input_signature=[_any_number_of(rows)], jit_compile=False)
    def predict(x: Any) -> Any:
        return function(tf.cast(x, tf.float32))

    return predict


def _any_number_of(rows: Array) -> tf.TensorSpec:
    return tf.TensorSpec((None, *rows.shape[1:]), rows.dtype)


def run_blocks(predict: Any, rows: Array) -> NDArray[Any]:
    """Apply a compiled function to all rows, a batch at a time, and join what it gives."""
    return np.concatenate(list(iterate(predict, rows)))


def iterate(predict: Any, rows: Array) -> Iterator[NDArray[Any]]:
    """Apply a compiled function to `EVAL_BATCH` rows at a time."""
    for start in range(0, len(rows), EVAL_BATCH):
        yield np.asarray(predict(rows[start : start + EVAL_BATCH]))


def _blocks_of_rows(order: NDArray[Any], features: Array, batch: int) -> Iterator[NDArray[Any]]:
    """The order cut into blocks of whole batches that fit into `BLOCK_BYTES`."""
    row_bytes = max(1, int(np.prod(features.shape[1:])) * features.dtype.itemsize)
    size = max(1, BLOCK_BYTES // (row_bytes * batch)) * batch
    for start in range(0, len(order), size):
        yield order[start : start + size]


def _compiled_training(
    logits: Logits, rows: Array, variables: list[Any], optimizer: Any, batch: int
) -> Any:
    labels_spec = tf.TensorSpec((None,), tf.int32)

    def step(x: Any, y: Any) -> Any:
        with tf.GradientTape() as tape:
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits(x, True))
            loss = tf.reduce_mean(losses)
        optimizer.apply(tape.gradient(loss, variables), variables)
        return tf.reduce_sum(losses)

    @tf.function(input_signature=[_any_number_of(rows), labels_spec], jit_compile=False)
    def train(features: Any, labels: Any) -> Any:
        total = tf.constant(0.0)
        for start in tf.range(0, tf.shape(labels)[0], batch):
            x = tf.cast(features[start : start + batch], tf.float32)
            total += step(x, labels[start : start + batch])
        return total

    return train

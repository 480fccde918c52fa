"""The classification head: dense layers, each followed by dropout, from the pooled vector to
logits.
"""

import contextlib
from collections.abc import Iterator

import keras
import tensorflow as tf
from tensorflow import Tensor

from tlsearch.config.trial_config import TrialConfig
from tlsearch.training.seeds import derive_seed


class Head:
    """A head of one shape, reset for every trial of this shape.

    `model` is the Keras model used for validation and export. Training applies its layers one by
    one, with a dropout rate that is a variable, so that another rate needs no new graph, and with
    masks that depend on the seed of each step.
    """

    def __init__(self, width: int, units: tuple[int, ...], classes: int) -> None:
        self.model = build_head(width, units, classes)
        self._rate = tf.Variable(0.0, trainable=False)

    def begin(self, trial: TrialConfig) -> None:
        """Set a trial's dropout rate and its initial weights, which depend on its seed."""
        self._rate.assign(trial.dropout)
        dense = (layer for layer in self.model.layers if isinstance(layer, keras.layers.Dense))
        for place, layer in enumerate(dense):
            first = keras.initializers.GlorotUniform(seed=derive_seed(trial.seed, "head", place))
            layer.kernel.assign(first(layer.kernel.shape))
            layer.bias.assign(tf.zeros(layer.bias.shape))
        for layer in self.model.layers:
            if isinstance(layer, keras.layers.Dropout):
                layer.rate = trial.dropout

    @contextlib.contextmanager
    def without_dropout(self) -> Iterator[None]:
        """Switch dropout off inside this context: the warm-up uses one recipe for all trials."""
        rate = self._rate.numpy()
        self._rate.assign(0.0)
        try:
            yield
        finally:
            self._rate.assign(rate)

    scales_loss = False  # it computes in float32

    @property
    def variables(self) -> list[keras.Variable]:
        """All variables of its layers."""
        return list(self.model.variables)

    def trainable_variables(self) -> list[keras.Variable]:
        """Return the kernels and biases of its layers."""
        return list(self.model.trainable_variables)

    def logits(self, pooled: Tensor, training: bool, seed: Tensor) -> Tensor:
        """Map pooled vectors (n, width) to logits (n, classes); `seed`, two integers, determines
        the masks.
        """
        if not training:
            return self.model(pooled, training=False)
        for place, layer in enumerate(self.model.layers[1:]):
            if isinstance(layer, keras.layers.Dropout):
                pooled = self._drop_out(pooled, seed + tf.constant((0, place << 24), tf.int32))
            else:
                pooled = layer(pooled)
        return pooled

    def _drop_out(self, x: Tensor, seed: Tensor) -> Tensor:
        rate = self._rate

        def dropped() -> Tensor:
            kept = tf.random.stateless_uniform(tf.shape(x), seed) >= rate
            return tf.where(kept, x / (1.0 - rate), 0.0)

        return tf.cond(rate > 0.0, dropped, lambda: x)


def build_head(width: int, units: tuple[int, ...], classes: int) -> keras.Model:
    """Build the head as a chain of Keras layers from pooled vectors (n, width) to logits (n,
    classes), with dropout rate 0.
    """
    inputs = keras.Input((width,), name="pooled")
    x = inputs
    for place, wide in enumerate(units):
        x = keras.layers.Dense(wide, activation="relu", name=f"dense_{place}")(x)
        x = keras.layers.Dropout(0.0, seed=0, name=f"dropout_{place}")(x)
    if not units:
        x = keras.layers.Dropout(0.0, seed=0, name="dropout")(x)
    outputs = keras.layers.Dense(classes, name="logits")(x)
    return keras.Model(inputs, outputs, name="head")

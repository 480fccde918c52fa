"""A Keras optimizer whose rates are variables, so that one graph serves many trials."""

from typing import Any

import keras
import tensorflow as tf

# AdamW is Adam with the decay below.
_KINDS = {"adam": "Adam", "adamw": "Adam", "sgd": "SGD", "rmsprop": "RMSprop"}
_SPARED = ("bias", "gamma", "beta")


class Optimizer:
    """One optimizer over fixed `variables`, begun anew for every trial.

    Weight decay is decoupled, multiplied by the learning rate, and spares biases and
    normalisation: that of Keras' AdamW, but with a rate that can change without a new graph.
    """

    def __init__(self, name: str, variables: list[Any]) -> None:
        options: dict[str, Any] = {"momentum": 0.9, "nesterov": True} if name == "sgd" else {}
        self._keras = getattr(keras.optimizers, _KINDS[name])(1.0, **options)
        self._keras.build(variables)
        self.variables = variables
        self._decayed = [v for v in variables if v.name not in _SPARED]
        self._decay = tf.Variable(0.0, trainable=False)
        self._first = [variable.numpy() for variable in self._keras.variables]

    def begin(self, learning_rate: float, weight_decay: float) -> None:
        """Forget the last trial; take this one's rates."""
        for variable, value in zip(self._keras.variables, self._first, strict=True):
            variable.assign(value)
        self._decay.assign(weight_decay)
        self.learning_rate = learning_rate

    @property
    def learning_rate(self) -> float:
        """The rate of the next step; may be set between epochs."""
        return float(self._keras.learning_rate)

    @learning_rate.setter
    def learning_rate(self, rate: float) -> None:
        """Take another rate from the next step on."""
        self._keras.learning_rate = rate

    @property
    def state(self) -> list[Any]:
        """Everything that a resumed trial needs: moments, steps taken, learning rate."""
        return list(self._keras.variables)

    def apply(self, gradients: list[Any]) -> None:
        """One step."""
        tf.cond(self._decay > 0.0, self._shrink, lambda: None)
        self._keras.apply(gradients, self.variables)

    def _shrink(self) -> None:
        factor = self._decay * tf.convert_to_tensor(self._keras.learning_rate)
        for variable in self._decayed:
            variable.assign(variable * (1.0 - factor))

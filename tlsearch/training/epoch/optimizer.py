"""A Keras optimizer whose rates are variables, so that one graph serves many trials."""

from collections.abc import Callable

import keras
import tensorflow as tf
from tensorflow import Tensor

# AdamW is Adam with the weight decay of `Optimizer`.
_KINDS = {"adam": "Adam", "adamw": "Adam", "sgd": "SGD", "rmsprop": "RMSprop"}
_SPARED = ("bias", "gamma", "beta")

FIRST_SCALE = 2.0**15
STEADY_STEPS = 2000  # steps without an overflow, after which the scale doubles


class LossScale:
    """The factor by which a loss is multiplied, so that 16-bit gradients do not underflow.

    It doubles after `STEADY_STEPS` steps with finite gradients and halves after a step whose
    gradients are not finite; such a step changes nothing else. (Micikevicius et al. 2018, "Mixed
    precision training")
    """

    def __init__(self) -> None:
        self.scale = tf.Variable(FIRST_SCALE, trainable=False)
        self._steady = tf.Variable(0, trainable=False)

    def begin(self) -> None:
        """Reset the scale for a new trial."""
        self.scale.assign(FIRST_SCALE)
        self._steady.assign(0)

    @property
    def state(self) -> list[tf.Variable]:
        """All variables that a resumed trial needs."""
        return [self.scale, self._steady]

    def step_if_finite(
        self, gradients: list[Tensor], step: Callable[[list[Tensor]], object]
    ) -> None:
        """Unscale the gradients and call `step` with them, unless they overflowed; then adjust the
        scale.
        """
        true = [gradient / self.scale for gradient in gradients]
        finite = tf.reduce_all([tf.reduce_all(tf.math.is_finite(each)) for each in true])

        def take() -> None:
            step(true)

        tf.cond(finite, take, lambda: None)
        steady = tf.where(finite, self._steady + 1, 0)
        grows = steady >= STEADY_STEPS
        factor = tf.where(finite, tf.where(grows, 2.0, 1.0), 0.5)
        self.scale.assign(tf.maximum(self.scale * factor, 1.0))
        self._steady.assign(tf.where(grows, 0, steady))


class Optimizer:
    """One optimizer over fixed `variables`, reset for every trial.

    Weight decay is decoupled, multiplied by the learning rate, and not applied to biases and
    normalisation: that of Keras' AdamW, but with a rate that can change without a new graph. If
    `scales` is true, `loss_scale` holds the factor by which the gradients passed to `apply` are
    multiplied.
    """

    def __init__(self, name: str, variables: list[tf.Variable], scales: bool = False) -> None:
        self.loss_scale = LossScale() if scales else None
        options: dict[str, float] = {"momentum": 0.9, "nesterov": True} if name == "sgd" else {}
        self._keras = getattr(keras.optimizers, _KINDS[name])(1.0, **options)
        self._keras.build(variables)
        self.variables = variables
        self._decayed = [v for v in variables if v.name not in _SPARED]
        self._decay = tf.Variable(0.0, trainable=False)
        self._first = [variable.numpy() for variable in self._keras.variables]

    def begin(self, learning_rate: float, weight_decay: float) -> None:
        """Reset the optimizer for a new trial with these rates."""
        for variable, value in zip(self._keras.variables, self._first, strict=True):
            variable.assign(value)
        self._decay.assign(weight_decay)
        self.learning_rate = learning_rate
        if self.loss_scale is not None:
            self.loss_scale.begin()

    @property
    def learning_rate(self) -> float:
        """The rate of the next step; may be set between epochs."""
        return float(self._keras.learning_rate)

    @learning_rate.setter
    def learning_rate(self, rate: float) -> None:
        """Take another rate from the next step on."""
        self._keras.learning_rate = rate

    @property
    def state(self) -> list[tf.Variable]:
        """All variables that a resumed trial needs: moments, steps, learning rate, loss scale."""
        scaling = [] if self.loss_scale is None else self.loss_scale.state
        return [*self._keras.variables, *scaling]

    def apply(self, gradients: list[Tensor]) -> None:
        """Take one step, unless the gradients of a scaled loss overflowed."""
        if self.loss_scale is None:
            self._step(gradients)
        else:
            self.loss_scale.step_if_finite(gradients, self._step)

    def _step(self, gradients: list[Tensor]) -> None:
        tf.cond(self._decay > 0.0, self._shrink, lambda: None)
        self._keras.apply(gradients, self.variables)

    def _shrink(self) -> None:
        factor = self._decay * tf.convert_to_tensor(self._keras.learning_rate)
        for variable in self._decayed:
            variable.assign(variable * (1.0 - factor))

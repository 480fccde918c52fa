"""The network of one trial: frozen prefix, trained suffix, head; and which of it moves."""

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from tlsearch.config.trial import TrialConfig
from tlsearch.training.backbone import LoadedBackbone
from tlsearch.training.cut import trainable_layers
from tlsearch.training.seeds import derive

Arrays = dict[str, NDArray[Any]]

# Of BatchNorm that trains: Keras' .99 and .999 leave useless statistics after a short training.
BATCH_NORM_MOMENTUM = 0.9


class Network:
    """Backbone + cut + head of one configuration.

    The prefix maps preprocessed images to the features that are kept (pooled where the whole
    backbone is frozen), the suffix maps those to the pooled vector, the head that to logits.
    Trainability is set here, before any optimizer is built.
    """

    def __init__(self, trial: TrialConfig, backbone: LoadedBackbone, classes: int) -> None:
        backbone.reset()
        self.backbone = backbone
        self.sections = backbone.sections(trial.unfrozen_layers)
        self._trained = self._unfreeze(trial)
        width = int(self.sections.pool.output.shape[-1])
        self.head = build_head(trial, width, classes)

    def features(self, images: Any) -> Any:
        """Images, RGB 0-255 -> features at the cut; never in training mode."""
        return self.sections.prefix(self.backbone.preprocess(images), training=False)

    def pooled(self, images: Any) -> Any:
        """Images, RGB 0-255 -> the pooled output of the backbone as it was loaded."""
        return self.sections.pool(self.backbone.preprocess(images), training=False)

    def logits(self, features: Any, training: bool) -> Any:
        """Features at the cut (images where nothing is frozen) -> logits, (n, classes)."""
        if self.sections.from_images:
            features = self.backbone.preprocess(features)
        if self.sections.suffix is not None:
            features = self.sections.suffix(features, training=training)
        return self.head(features, training=training)

    def trainable_variables(self) -> list[Any]:
        """What the trial's own phase trains: the unfrozen layers and the head."""
        return [*self.backbone.model.trainable_variables, *self.head.trainable_variables]

    def reseed(self, seed: int, epoch: int) -> None:
        """Set every dropout generator from (seed, epoch), so that history does not matter."""
        for model in (self.backbone.model, self.head):
            for place, layer in enumerate(model.layers):
                if isinstance(layer, keras.layers.Dropout) and layer.rate > 0:
                    state = derive(seed, "dropout", epoch, model.name, place)
                    layer.seed_generator.state.assign([state, 0])

    def changed(self) -> Arrays:
        """Every variable that a trial can change, by name: all that its weights are."""
        return {name: variable.numpy() for name, variable in self._changing().items()}

    def restore(self, arrays: Arrays) -> None:
        """Put variables back as `changed` gave them; other entries are ignored."""
        for name, variable in self._changing().items():
            variable.assign(arrays[name])

    def _changing(self) -> dict[str, Any]:
        layers = [*self._trained, *self.head.layers]
        return {
            f"model/{layer.name}/{place}": variable
            for layer in layers
            for place, variable in enumerate(layer.variables)
            if "seed_generator" not in variable.path
        }

    def _unfreeze(self, trial: TrialConfig) -> list[Any]:
        """Train the last layers, BatchNorm only on request; what is frozen drops nothing out."""
        last = trainable_layers(self.backbone.model, trial.unfrozen_layers)
        trained = [x for x in last if x.variables and _may_train(x, trial)]
        for layer in trained:
            layer.trainable = True
            if _is_batch_norm(layer):
                layer.momentum = BATCH_NORM_MOMENTUM
        moving = {layer.name for layer in last}
        for layer in self.backbone.model.layers:
            # A frozen Dropout stays active under training=True, so its rate is what freezes it.
            if isinstance(layer, keras.layers.Dropout) and layer.name not in moving:
                layer.rate = 0.0
        return trained


def build_head(trial: TrialConfig, width: int, classes: int) -> keras.Model:
    """Pooled vector (n, width) -> logits (n, classes); dropout after each dense layer."""
    inputs = keras.Input((width,), name="pooled")
    x = inputs
    for place, units in enumerate(trial.head_units):
        x = _dense(units, trial.seed, place, activation="relu", name=f"dense_{place}")(x)
        x = keras.layers.Dropout(trial.dropout, seed=0, name=f"dropout_{place}")(x)
    if not trial.head_units:
        x = keras.layers.Dropout(trial.dropout, seed=0, name="dropout")(x)
    outputs = _dense(classes, trial.seed, len(trial.head_units), name="logits")(x)
    return keras.Model(inputs, outputs, name="head")


def _dense(units: int, seed: int, place: int, **options: Any) -> keras.layers.Layer:
    start = keras.initializers.GlorotUniform(seed=derive(seed, "head", place))
    return keras.layers.Dense(units, kernel_initializer=start, **options)


def _may_train(layer: Any, trial: TrialConfig) -> bool:
    return trial.train_batch_norm or not _is_batch_norm(layer)


def _is_batch_norm(layer: Any) -> bool:
    return isinstance(layer, keras.layers.BatchNormalization)


def parameter_count(variables: list[Any]) -> int:
    """How many numbers these variables hold."""
    return sum(int(np.prod(variable.shape)) for variable in variables)

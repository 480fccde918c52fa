"""The network of a trial: frozen prefix, trained suffix and head, and which variables train."""

import keras
import numpy as np
from tensorflow import Tensor

from tlsearch.base.array_types import AnyArray
from tlsearch.base.errors import RecordError
from tlsearch.config.networks.unfreezing import Depth
from tlsearch.config.trial_config import TrialConfig
from tlsearch.training.network.backbone import LoadedBackbone
from tlsearch.training.network.cut import trainable_layers
from tlsearch.training.network.head import Head
from tlsearch.training.seeds import derive_seed

Arrays = dict[str, AnyArray]

# For BatchNorm that trains: Keras' .99 and .999 leave useless statistics after a short training.
BATCH_NORM_MOMENTUM = 0.9


class Network:
    """Backbone, cut and head of one shape, reset for every trial of this shape.

    The prefix maps preprocessed images to the stored features (pooled if the whole backbone is
    frozen), the suffix maps those to the pooled vector, and the head maps that to logits.
    Trainability is set here, before any optimizer is built or any graph is traced. `prefix_depth`
    is `depth` or greater; with `batch_norm` the unfrozen BatchNorm layers train too.
    """

    def __init__(
        self,
        backbone: LoadedBackbone,
        depth: Depth,
        prefix_depth: Depth,
        batch_norm: bool,
        head: Head,
    ) -> None:
        self.backbone = backbone
        self.head = head
        self.sections = backbone.sections(prefix_depth)
        self._batch_norm = batch_norm
        self._last = trainable_layers(backbone.model, depth)
        self._trained = [x for x in self._last if x.variables and self._may_train(x)]
        layers = enumerate(backbone.model.layers)
        self._dropouts = {n: x for n, x in layers if isinstance(x, keras.layers.Dropout)}

    @property
    def trained_part(self) -> "Network | Head":
        """The head if the whole backbone is frozen, else this network."""
        return self.head if self.sections.suffix is None else self

    def begin(self, trial: TrialConfig) -> None:
        """Undo the changes of an earlier trial and initialize the head for this one."""
        self.backbone.reset()
        self.backbone.allow_changes([*self._trained, *self._dropouts.values()])
        self._unfreeze()
        self.head.begin(trial)

    def logits(self, features: Tensor, training: bool, seed: Tensor) -> Tensor:
        """Map features at the cut (images if nothing is frozen) to logits, (n, classes)."""
        if self.sections.from_images:
            features = self.backbone.preprocess(features)
        if self.sections.suffix is not None:
            features = self.sections.suffix(features, training=training)
        return self.head.logits(features, training, seed)

    @property
    def trains_batch_norm(self) -> bool:
        """Whether the network normalises with the batch's own statistics in training."""
        return any(map(_is_batch_norm, self._trained))

    @property
    def scales_loss(self) -> bool:
        """Whether gradients in float16 require a scaled loss."""
        return self.backbone.precision == "mixed_float16"

    @property
    def variables(self) -> list[keras.Variable]:
        """All variables of the backbone and the head."""
        return [*self.backbone.model.variables, *self.head.variables]

    def trainable_variables(self) -> list[keras.Variable]:
        """Return the variables that the trial trains after the warm-up: the unfrozen layers and the
        head.
        """
        unfrozen = [v for layer in self._trained for v in layer.trainable_variables]
        return [*unfrozen, *self.head.trainable_variables()]

    def reseed(self, seed: int, epoch: int) -> None:
        """Seed the backbone's dropout with (seed, epoch), so that it does not depend on earlier
        epochs.
        """
        for place, layer in self._dropouts.items():
            if layer.rate > 0:
                state = derive_seed(seed, "dropout", epoch, place)
                layer.seed_generator.state.assign([state, 0])

    def changeable_values(self) -> Arrays:
        """Return the value of every variable that a trial can change, by name."""
        return {name: variable.numpy() for name, variable in self._changing().items()}

    def restore(self, arrays: Arrays) -> None:
        """Assign variables from arrays of `changeable_values`; other entries are ignored.

        Raises RecordError, before any variable changes, if one is missing or has another shape.
        """
        put_back(arrays, self._changing())

    def _changing(self) -> dict[str, keras.Variable]:
        layers = [*self._trained, *self.head.model.layers]
        return {
            f"model/{layer.name}/{place}": variable
            for layer in layers
            for place, variable in enumerate(layer.variables)
            if "seed_generator" not in variable.path
        }

    def _unfreeze(self) -> None:
        """Make the last layers trainable, BatchNorm only on request; switch off dropout in frozen
        layers.
        """
        for layer in self._trained:
            layer.trainable = True
            if _is_batch_norm(layer):
                layer.momentum = BATCH_NORM_MOMENTUM
        moving = {layer.name for layer in self._last}
        for layer in self._dropouts.values():
            # A frozen Dropout stays active under training=True: only a rate of 0 disables it.
            if layer.name not in moving:
                layer.rate = 0.0

    def _may_train(self, layer: keras.Layer) -> bool:
        return self._batch_norm or not _is_batch_norm(layer)


def put_back(arrays: Arrays, variables: dict[str, keras.Variable]) -> None:
    """Assign arrays to variables by name; raises RecordError if one is missing or has another
    shape.
    """
    for name, variable in variables.items():
        found = tuple(arrays[name].shape) if name in arrays else "nothing"
        if found != tuple(variable.shape):
            raise RecordError(f"{name}: found {found}, expected {tuple(variable.shape)}")
    for name, variable in variables.items():
        variable.assign(arrays[name])


def _is_batch_norm(layer: keras.Layer) -> bool:
    return isinstance(layer, keras.layers.BatchNormalization)


def parameter_count(variables: list[keras.Variable]) -> int:
    """Return the total number of values in these variables."""
    return sum(int(np.prod(variable.shape)) for variable in variables)

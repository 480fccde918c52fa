"""The trained network with its preprocessing inside, as one Keras model."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow import Tensor

from tlsearch.base.array_types import Floats
from tlsearch.base.phases import phase
from tlsearch.bundle.evaluate import measure
from tlsearch.bundle.metrics import score
from tlsearch.bundle.score_interval import score_interval
from tlsearch.config.device import EXACT
from tlsearch.config.trial_config import TrialConfig
from tlsearch.data.listing import Split
from tlsearch.data.sources import ImageData
from tlsearch.training.checkpoint import Checkpoint, load_checkpoint
from tlsearch.training.epoch.executor import shared_executor
from tlsearch.training.epoch.prediction import compiled_prediction, run_blocks
from tlsearch.training.export.as_recorded import require_as_recorded
from tlsearch.training.network.model import Network


def restore(checkpoint: Checkpoint, classes: int) -> Network:
    """Return the network of a trial with the weights of its best epoch.

    Raises WeightsError if the weights belong to other pretrained weights than those present,
    RecordError if they do not fit.
    """
    network = _network(checkpoint.trial, classes)
    checkpoint.require_for(network.backbone)
    checkpoint.restore_into(network.restore)
    return network


def prepare(trial: TrialConfig, classes: int) -> None:
    """Build the network of a trial and trace its prediction, before its final weights exist.

    This process keeps both, for a later `restore` of a trial whose network has the same shape.
    """
    pixels = np.zeros((1, trial.image_px, trial.image_px, 3), np.uint8)
    prediction_function(_network(trial, classes))(pixels)


def _network(trial: TrialConfig, classes: int) -> Network:
    """Return the network of a trial, in full float32 whatever precision it was trained in: its
    variables are always float32.
    """
    # TF32 of recent GPUs moves probabilities by some thousandths, more than a file may differ.
    tf.config.experimental.enable_tensor_float_32_execution(False)
    return shared_executor().network(trial.model_copy(update={"precision": EXACT}), classes)


def any_size_model(network: Network, trial: TrialConfig) -> keras.Model:
    """Build a model from RGB 0-255 of any size, (n, height, width, 3), to probabilities, (n,
    classes).
    """
    inputs = keras.Input((None, None, 3), name="image")
    px = trial.image_px
    resize = keras.layers.Resizing(px, px, antialias=True, name="resize", dtype="float32")
    return keras.Model(inputs, _probabilities(network, resize(inputs)), name="tlsearch")


def square_model(network: Network, trial: TrialConfig) -> keras.Model:
    """Build a model from RGB 0-255 of the trained size, (n, image_px, image_px, 3), to
    probabilities, (n, classes).
    """
    inputs = keras.Input((trial.image_px, trial.image_px, 3), name="image")
    return keras.Model(inputs, _probabilities(network, inputs), name="tlsearch")


@dataclass(frozen=True, eq=False)
class Restored:
    """A trial's network with the weights of its best epoch.

    `recorded` maps epochs to the metric that the study recorded for them.
    """

    checkpoint: Checkpoint
    network: Network
    data: ImageData
    recorded: Mapping[int, float]

    @functools.cached_property
    def validation(self) -> Floats:
        """The network's probabilities on the validation split, (n, classes), computed on first use.

        Raises RecordError if they do not score as recorded.
        """
        found = trial_probabilities(self.network, self.data, "validation")
        labels = self.data.split_labels("validation")
        require_as_recorded(self.checkpoint, labels, found, self.recorded)
        return found

    @functools.cached_property
    def rounding(self) -> float:
        """How far rounding moves the network's probabilities: their largest change on the
        validation split when every pixel value grows by a millionth; 0 if they are not finite.
        """
        predict = prediction_function(self.network)
        brighter = _predict_split(
            lambda squares: predict(tf.cast(squares, tf.float32) * (1 + 2**-20)),
            self.data,
            "validation",
        )
        return float(np.nan_to_num(np.abs(brighter - self.validation)).max())


def restore_recorded(
    checkpoint_path: Path, data: ImageData, recorded: Mapping[int, float]
) -> Restored:
    """Restore a trial from its checkpoint."""
    checkpoint = load_checkpoint(checkpoint_path)
    return Restored(checkpoint, restore(checkpoint, len(data.classes)), data, recorded)


def prediction_function(network: Network) -> Callable[[Tensor], Floats]:
    """Return the trial's own prediction function: prefix, then suffix and head.

    It maps squares (n, image_px, image_px, 3) of RGB 0-255 to probabilities (n, classes). One graph
    serves all calls, with the weights that the network has at the time of the call.
    """
    backbone, sections = network.backbone, network.sections

    def predict(x: Tensor) -> Tensor:
        features = x
        if not sections.from_images:
            features = backbone.frozen(sections.prefix, backbone.preprocess(x))
        return keras.ops.softmax(network.logits(features, training=False, seed=None))

    like = np.empty((0, *backbone.model.input_shape[1:]), np.float32)
    key = (network, "from images to probabilities")
    graph = shared_executor().passes.get(key, lambda: compiled_prediction(predict, like))
    return lambda squares: np.asarray(graph(tf.cast(squares, tf.float32)))


def trial_probabilities(network: Network, data: ImageData, split: Split) -> Floats:
    """Return the probabilities, (n, classes), of a split's images."""
    return _predict_split(prediction_function(network), data, split)


def _predict_split(predict: Callable[[Tensor], Floats], data: ImageData, split: Split) -> Floats:
    images = data.images(split)
    with phase("predicting", len(images), f"{split} pictures") as counter:
        return run_blocks(predict, images, counter)


def score_on_test(trained: Restored) -> dict[str, Any]:
    """Return a trial's `metric` on the test split, with the weights of its best epoch: its `value`;
    its confidence interval, `low` to `high`, with the method, if the metric has one; and the whole
    `evaluation`.
    """
    data, metric = trained.data, trained.checkpoint.trial.metric
    labels = data.split_labels("test")
    probabilities = trial_probabilities(trained.network, data, "test")
    value = score(metric, labels, probabilities)
    interval = score_interval(metric, labels, probabilities)
    ends = {} if interval is None else interval.to_json()
    evaluation = measure(labels, probabilities, data.classes).to_json()
    return {"metric": metric, "value": value, **ends, "evaluation": evaluation}


def _probabilities(network: Network, images: Tensor) -> Tensor:
    logits = network.head.model(network.sections.pool(network.backbone.preprocess(images)))
    return keras.layers.Activation("softmax", name="probabilities")(logits)

"""A pretrained network in memory: built, loaded, with its own preprocessing in front."""

import contextlib
import functools
import hashlib
import importlib
import logging
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf
from filelock import FileLock
from keras.src.backend.common import global_state
from keras.src.utils import file_utils
from numpy.typing import NDArray

from tlsearch.base.errors import WeightsError
from tlsearch.base.files import absolute
from tlsearch.config.catalog import DIGEST_DIGITS, PUT_BACK, Backbone, Preprocess
from tlsearch.config.device import EXACT, keras_policy
from tlsearch.config.networks.lookup import row_of
from tlsearch.pace import POOLED
from tlsearch.training.network.cut import Sections, cut_in_two
from tlsearch.training.network.identity import network_digest
from tlsearch.training.network.plain_layers import in_plain_layers

# Statistics of ImageNet as the networks of each convention were trained with them, in RGB order.
_CAFFE_MEAN = (123.68, 116.779, 103.939)
_TORCH_MEAN = np.array((0.485, 0.456, 0.406))
_TORCH_STD = np.array((0.229, 0.224, 0.225))

log = logging.getLogger(__name__)

_CHANGEABLE = ((keras.layers.Dropout, "rate"), (keras.layers.BatchNormalization, "momentum"))


NETWORKS = 16  # that a process keeps, with the backbones that are parts of them


@dataclass(frozen=True, eq=False)
class LoadedBackbone:
    """A backbone without top: `preprocess` takes RGB 0-255, `model` what that gives.

    `pristine` holds the value of every variable, by its `id`, and `settings` every layer attribute
    that a trial may change, as loaded, so that one process can serve many trials. `weights` says
    which ones were asked for, `digest` which network that gave.
    """

    row: Backbone
    weights: str
    preprocess: keras.Model
    model: keras.Model
    pristine: dict[int, NDArray[Any]]
    settings: tuple[tuple[Any, str, float], ...]
    digest: str
    pooled: Any
    precision: str = EXACT
    _sections: dict[int | str, Sections] = field(default_factory=dict)
    _lent: list[Any] = field(default_factory=list)

    def sections(self, unfrozen_layers: int | Literal["all"]) -> Sections:
        """The network cut in two for this many unfrozen layers, built once."""
        if unfrozen_layers not in self._sections:
            self._sections[unfrozen_layers] = cut_in_two(self.model, self.pooled, unfrozen_layers)
        return self._sections[unfrozen_layers]

    def frozen(self, part: keras.Model, inputs: Any) -> Any:
        """What a part of this network gives with its weights as loaded, never in training mode.

        The weights enter the graph as constants, so that TensorFlow folds normalisation into the
        convolutions before it: 1.3 to 1.6 times as many images a second on a CPU.
        """
        trained, others = (
            [tf.constant(self.pristine[id(variable)]) for variable in variables]
            for variables in (part.trainable_variables, part.non_trainable_variables)
        )
        return part.stateless_call(trained, others, inputs, training=False)[0]

    def require(self, recorded: str) -> None:
        """Raise WeightsError unless this is the network whose digest was recorded.

        Random weights are compared with a warning alone: another processor rounds them otherwise.
        """
        if recorded == self.digest:
            return
        problem = (
            f"{self.row.name}: its pretrained network is not the one that the study was trained "
            f"with: recorded {recorded[:DIGEST_DIGITS]}, found {self.digest[:DIGEST_DIGITS]} "
            f"in {self._place}"
        )
        if self.weights == "none":
            log.warning("%s", problem)
            return
        raise WeightsError(f"{problem}; {PUT_BACK}")

    @property
    def _place(self) -> str:
        """Where the weights are, for people."""
        if self.weights == "none":
            return "random weights"
        if self.weights == "imagenet":
            return str(_downloads())
        return str(self.row.shipped_path if self.weights == "shipped" else self.weights)

    def lend(self, layers: Iterable[Any]) -> None:
        """Let a trial change the variables of these layers, until the next `reset`."""
        self._lent.extend(variable for layer in layers for variable in layer.variables)

    def reset(self) -> None:
        """Undo what an earlier trial did: variables, trainability, dropout rates, momenta."""
        while self._lent:
            variable = self._lent.pop()
            variable.assign(self.pristine[id(variable)])
        for layer in self.model.layers:
            layer.trainable = False
        for layer, attribute, setting in self.settings:
            setattr(layer, attribute, setting)


@functools.lru_cache(maxsize=NETWORKS)
def load_backbone(
    name: str,
    weights: str,
    image_px: int,
    pooling: str = "gap",
    precision: str = EXACT,
) -> LoadedBackbone:
    """Build a catalogue row at one image size and load its weights; kept for later trials.

    `weights` is "default", "imagenet", "none" or a file. Its layers compute in `precision`; its
    variables, the preprocessing and the pooled vector are float32 in all of them. Raises
    WeightsError, naming the file or the download that failed.
    """
    row = row_of(name)
    meant = row.default_weights if weights == "default" else weights
    with _dtype_policy(keras_policy(precision)):
        model = in_plain_layers(_build(row, meant, image_px))
    _compute_preprocessing_whole(model)
    _name_by_place(model)
    return LoadedBackbone(
        row=row,
        weights=meant,
        preprocess=preprocessing(row.preprocess, image_px),
        model=model,
        pristine={id(variable): variable.numpy() for variable in model.variables},
        settings=tuple(
            (layer, attribute, getattr(layer, attribute))
            for layer in model.layers
            for kind, attribute in _CHANGEABLE
            if isinstance(layer, kind)
        ),
        digest=network_digest(model),
        pooled=_pooled(model, row, pooling),
        precision=precision,
    )


def outline(row: Backbone, image_px: int) -> keras.Model:
    """The layers of a catalogue row without values: built soon, and of hardly any memory."""
    with _without_values():
        model = in_plain_layers(_build(row, "none", image_px), values=False)
    _name_by_place(model)
    return model


@contextlib.contextmanager
def _without_values() -> Iterator[None]:
    """While it is open, variables get a shape alone, and Keras never gives them a value later."""
    waiting = "uninitialized_variables"
    before = global_state.get_global_attribute(waiting, [])
    global_state.set_global_attribute(waiting, [])
    try:
        with keras.StatelessScope(initialize_variables=False):
            yield
    finally:
        global_state.set_global_attribute(waiting, before)


def _pooled(model: keras.Model, row: Backbone, pooling: str) -> Any:
    """The pooled vector behind a network, by a pooling of the catalogue.

    ConvNeXt's last normalisation belongs behind the pooling, as where Keras itself pools; Keras'
    network of feature maps has it before.
    """
    if pooling == "flatten" or not row.norm_after_pool:
        return pool(model.output, pooling)
    norm = model.layers[-1]
    norm.dtype_policy = EXACT
    return pool(norm.input, pooling, norm)


def pool(maps: Any, pooling: str, norm: Callable[[Any], Any] = lambda pooled: pooled) -> Any:
    """Feature maps (n, height, width, channels) -> float32 vectors, by a pooling of the catalogue,
    each of them through `norm`.
    """
    if pooling == "flatten":
        return keras.layers.Flatten(name=POOLED, dtype=EXACT)(maps)
    mean = norm(keras.layers.GlobalAveragePooling2D(name=POOLED, dtype=EXACT)(maps))
    if pooling == "gap":
        return mean
    highest = norm(keras.layers.GlobalMaxPooling2D(name="pool_max", dtype=EXACT)(maps))
    return keras.layers.Concatenate(name="pool_both", dtype=EXACT)([mean, highest])


def preprocessing(kind: Preprocess, image_px: int | None) -> keras.Model:
    """RGB 0-255 -> what the network was trained on, in layers that every export format knows."""
    inputs = keras.Input((image_px, image_px, 3), name="rgb")
    if kind == "tf":
        outputs = keras.layers.Rescaling(1 / 127.5, offset=-1.0, name="rescale")(inputs)
    elif kind == "torch":
        scale, offset = 1 / (255 * _TORCH_STD), -_TORCH_MEAN / _TORCH_STD
        outputs = keras.layers.Rescaling(scale.tolist(), offset.tolist(), name="rescale")(inputs)
    elif kind == "caffe":
        outputs = _to_centred_bgr()(inputs)
    else:
        outputs = keras.layers.Identity(name="as_is")(inputs)
    return keras.Model(inputs, outputs, name="preprocess")


def _to_centred_bgr() -> keras.layers.Layer:
    """Channel reversal and mean subtraction as a fixed 1 x 1 convolution."""
    swap = np.eye(3, dtype=np.float32)[::-1].reshape(1, 1, 3, 3)
    layer = keras.layers.Conv2D(3, 1, name="rgb_to_centred_bgr", trainable=False)
    layer.build((None, None, None, 3))
    layer.set_weights([swap, -np.array(_CAFFE_MEAN[::-1], dtype=np.float32)])
    return layer


@contextlib.contextmanager
def _dtype_policy(name: str) -> Iterator[None]:
    """While it is open, new layers have this dtype policy."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _build(row: Backbone, weights: str, image_px: int) -> keras.Model:
    module, function = row.build.split(":")
    builder = getattr(importlib.import_module(module), function)
    build = functools.partial(
        builder,
        include_top=False,
        input_shape=(image_px, image_px, 3),
        **row.options,
    )
    if weights == "none":
        keras.utils.set_random_seed(0)
        return build(weights=None)
    if weights == "imagenet":
        return _imagenet(row, build)
    path = row.shipped_path if weights == "shipped" else Path(weights)
    if path is None or not path.is_file():
        raise WeightsError(f"{path}: no such weight file (use a path, imagenet, default or none)")
    return _from_file(build, path, _is_official(builder, path))


def _compute_preprocessing_whole(model: keras.Model) -> None:
    """Have the network's own preprocessing, which some have as their first layers, in float32."""
    for layer in model.layers:
        if isinstance(layer, keras.layers.Rescaling | keras.layers.Normalization):
            layer.dtype_policy = EXACT
        elif not isinstance(layer, keras.layers.InputLayer):
            return


def _name_by_place(model: keras.Model) -> None:
    """Rename layers and operations that Keras numbered in the order in which this process made
    them.

    Features and checkpoints are kept by these names, so another process must find the same ones:
    "add_7" of a second Xception is "add" of the first.
    """
    for place, layer in enumerate(model.layers):
        kind = re.sub(r"_\d+$", "", layer.name)
        if kind.replace("_", "") == type(layer).__name__.lower():
            layer.name = f"{kind}_at_{place}"
    for place, operation in enumerate(model.operations):
        if not isinstance(operation, keras.layers.Layer):
            kind = re.sub(r"_\d+$", "", operation.name)
            operation.name = f"{kind}_operation_at_{place}"


def _imagenet(row: Backbone, build: "functools.partial[keras.Model]") -> keras.Model:
    """Keras downloads to the final path without a lock: one process of a machine at a time."""
    try:
        with FileLock(Path(tempfile.gettempdir()) / f"tlsearch-weights-{os.getuid()}.lock"):
            return build(weights="imagenet")
    except Exception as error:  # urllib, ssl, h5py: whatever kept the file from coming whole
        raise WeightsError(
            f"{row.name}: its ImageNet weights are not under {_downloads()} and could not be "
            f"downloaded ({error}); copy them there, set KERAS_HOME, or use a shipped backbone"
        ) from error


def _downloads() -> Path:
    """The folder that Keras keeps downloaded weights in."""
    return absolute(Path(os.environ.get("KERAS_HOME", "~/.keras"))) / "models"


def _from_file(build: "functools.partial[keras.Model]", path: Path, official: bool) -> keras.Model:
    """The network of a weight file; an official file's is the one that Keras builds for it.

    Keras gives EfficientNet B0 to B3 one more layer for its own weights, and asks for them by name.
    """
    try:
        if official:
            with _downloaded_to(path):
                return build(weights="imagenet")
        model = build(weights=None)
        model.load_weights(path)
    except Exception as error:  # h5py and Keras raise many kinds for a file that does not fit
        name = build.func.__name__
        raise WeightsError(f"{path}: does not hold weights of {name} ({error})") from error
    return model


def _is_official(builder: Callable[..., keras.Model], path: Path) -> bool:
    """Whether Keras publishes this very file for networks like this one, by its MD5."""
    published = getattr(sys.modules[builder.__module__], "WEIGHTS_HASHES", {})
    if not published:
        return False
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "md5").hexdigest()
    return any(found in hashes for hashes in published.values())


@contextlib.contextmanager
def _downloaded_to(path: Path) -> Iterator[None]:
    """While it is open, a file that Keras would download is this one."""
    before = file_utils.get_file
    file_utils.get_file = lambda *asked, **more: str(path)
    try:
        yield
    finally:
        file_utils.get_file = before

"""Tables of what can be named in a search space: backbones, optimizers, metrics. No TensorFlow."""

import importlib.resources
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Preprocess = Literal["tf", "caffe", "torch", "none"]
Direction = Literal["max", "min"]


@dataclass(frozen=True)
class Backbone:
    """A pretrained network without its top, named by the function that builds it.

    `build` and `reference` are "module:attribute"; `reference` is Keras' own preprocessing
    function for this network, which ours must equal. `image_px` is the size it was made for,
    `licence` that of the pretrained weights.
    """

    name: str
    build: str
    preprocess: Preprocess
    reference: str
    layers: int
    image_px: int = 224
    min_px: int = 32
    options: dict[str, float] = field(default_factory=dict)
    shipped: str | None = None
    trained_on: str = "imagenet"
    licence: str = "Apache-2.0"

    @property
    def shipped_path(self) -> Path | None:
        """The weight file that travels with the package, for the offline backbones."""
        return None if self.shipped is None else weights_folder() / self.shipped

    @property
    def default_weights(self) -> str:
        """What `weights: default` means: the shipped file, else ImageNet."""
        return "imagenet" if self.shipped is None else "shipped"


def weights_folder() -> Path:
    """The folder of weights pretrained by this project."""
    return Path(str(importlib.resources.files("tlsearch"))) / "weights"


_MOBILENET_V2 = "keras.applications.mobilenet_v2:MobileNetV2"
_MOBILENET_V2_INPUT = "keras.applications.mobilenet_v2:preprocess_input"


def _mobilenet_v2(suffix: str, alpha: float) -> Backbone:
    name = f"mobilenet_v2{suffix}"
    return Backbone(name, _MOBILENET_V2, "tf", _MOBILENET_V2_INPUT, 154, options={"alpha": alpha})


def _shipped(source: str, image_px: int) -> Backbone:
    return Backbone(
        source,
        _MOBILENET_V2,
        "tf",
        _MOBILENET_V2_INPUT,
        154,
        image_px=image_px,
        options={"alpha": 0.35},
        shipped=f"{source}_mobilenet_v2_035.weights.h5",
        trained_on={"photos": "cifar10 train"}.get(source, source),
    )


def _efficientnet(variant: str, image_px: int, layers: int) -> Backbone:
    # Keras adds one more rescaling layer where weights="imagenet".
    module = "keras.applications.efficientnet"
    build, reference = f"{module}:EfficientNet{variant}", f"{module}:preprocess_input"
    return Backbone(f"efficientnet_{variant.lower()}", build, "none", reference, layers, image_px)


def _resnet(depth: int, layers: int) -> Backbone:
    module = "keras.applications.resnet"
    build, reference = f"{module}:ResNet{depth}", f"{module}:preprocess_input"
    return Backbone(f"resnet{depth}", build, "caffe", reference, layers, licence="MIT")


BACKBONES: dict[str, Backbone] = {
    row.name: row
    for row in (
        _shipped("strokes", 48),
        _shipped("photos", 48),
        _mobilenet_v2("_035", 0.35),
        _mobilenet_v2("_050", 0.5),
        _mobilenet_v2("_075", 0.75),
        _mobilenet_v2("", 1.0),
        _mobilenet_v2("_130", 1.3),
        _mobilenet_v2("_140", 1.4),
        _efficientnet("B0", 224, 237),
        _efficientnet("B1", 240, 339),
        _efficientnet("B2", 260, 339),
        _efficientnet("B3", 300, 384),
        _resnet(50, 175),
        _resnet(101, 345),
        _resnet(152, 515),
    )
}


def backbones() -> tuple[Backbone, ...]:
    """Every backbone that a search space can name."""
    return tuple(BACKBONES.values())


# Class names of CIFAR-10: data with exactly these classes is taken to be CIFAR-10, whatever its
# folder is called, so that weights pretrained on its train images are refused there (leakage).
CIFAR10_CLASSES = frozenset(
    ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
)


@dataclass(frozen=True)
class ExportFormat:
    """A kind of model file: what it is called in a bundle, and how far it may be off.

    `any_size`: takes pictures of any size and resizes inside; else squares of `image_px`.
    `tolerance`: the largest difference of a probability from the trained network's, None where
    rounding of weights is the point. `accuracy_loss`: the largest change of accuracy, as a share;
    one image is always allowed.
    `extra`: what to install for it beyond tlsearch itself.
    """

    name: str
    file: str
    any_size: bool
    tolerance: float | None
    accuracy_loss: float = 0.001
    extra: str | None = None


EXPORT_FORMATS: dict[str, ExportFormat] = {
    row.name: row
    for row in (
        ExportFormat("keras", "model.keras", any_size=True, tolerance=1e-4),
        ExportFormat("saved_model", "saved_model", any_size=True, tolerance=1e-4),
        ExportFormat("litert", "model.tflite", any_size=False, tolerance=1e-4),
        ExportFormat("litert_float16", "model_float16.tflite", False, None, accuracy_loss=0.005),
        ExportFormat("litert_int8", "model_int8.tflite", False, None, accuracy_loss=0.01),
        ExportFormat("onnx", "model.onnx", any_size=False, tolerance=1e-4, extra="onnx"),
    )
}

# Preset -> rows of `config.augment.Augment`.
AUGMENTATIONS: dict[str, dict[str, float | str]] = {
    "none": {},
    "light": {"flip": "horizontal", "translate": 0.05, "zoom": 0.1},
    "medium": {
        "flip": "horizontal",
        "rotate": 0.05,
        "translate": 0.1,
        "zoom": 0.2,
        "contrast": 0.2,
        "brightness": 0.1,
    },
    "strong": {
        "flip": "both",
        "rotate": 0.15,
        "translate": 0.15,
        "zoom": 0.3,
        "shear": 0.2,
        "contrast": 0.4,
        "brightness": 0.2,
    },
}

# Names of weights; anything else is the path of a file.
WEIGHTS = ("default", "imagenet", "shipped", "none")

# How a feature map becomes a vector: the mean over places, mean and maximum, or every value.
POOLINGS = ("gap", "gap_max", "flatten")

# How the learning rate goes on: as it is, down to 0 along a cosine, or a fifth of it whenever the
# validation loss has not fallen for two epochs.
SCHEDULES = ("constant", "cosine", "reduce_on_plateau")

# How much an image counts in training: all alike, or as much more as its class is rarer.
CLASS_WEIGHTS = ("none", "balanced")

OPTIMIZERS = ("adam", "adamw", "sgd", "rmsprop")

# Metric name -> which way is better. Computed on the validation split after every epoch.
METRICS: dict[str, Direction] = {
    "accuracy": "max",
    "balanced_accuracy": "max",
    "macro_f1": "max",
    "auc": "max",
    "loss": "min",
}

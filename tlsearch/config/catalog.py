"""Tables of the names in a search space: backbones, optimizers, metrics. No TensorFlow."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

from tlsearch.config.networks.anatomy import ANATOMIES
from tlsearch.config.networks.presets import PRESETS
from tlsearch.config.networks.row import Backbone, Preprocess, preset_row


class Direction(StrEnum):
    """Whether higher or lower values of a metric are better."""

    MAX = "max"
    MIN = "min"

    def better(self, value: float, than: float) -> bool:
        """Whether a value is strictly better than another."""
        return self.key(value) < self.key(than)

    def key(self, value: float) -> float:
        """A sort key that puts the best value first; applied twice, it returns the value."""
        return -value if self is Direction.MAX else value

    def gain(self, value: float, over: float) -> float:
        """How much better a value is than another; negative if it is worse."""
        return self.key(over) - self.key(value)

    def best(self, values: Iterable[float]) -> float:
        """The best of some values; raises ValueError if there are none."""
        return min(values, key=self.key)


def _family(
    module: str,
    preprocess: Preprocess,
    licence: str = "Apache-2.0",
    min_px: int = 32,
    single_px: int = 32,
    home: str | None = None,
    family: str | None = None,
    norm_after_pool: bool = False,
) -> Callable[..., Backbone]:
    """A function that makes the rows of one module of `keras.applications`.

    The module holds the preprocessing function of the networks. `home` is the module of the
    functions that build them, if it is another one. `family` defaults to the name of the module.
    """
    place = f"keras.applications.{module}"

    def row(
        name: str,
        function: str,
        image_px: int,
        multiply_adds: int,
        parameters: int,
        layers: int,
        anatomy: str | None = None,
        **more: Any,
    ) -> Backbone:
        return Backbone(
            name=name,
            family=family or module,
            build=f"{home or place}:{function}",
            preprocess=preprocess,
            reference=f"{place}:preprocess_input",
            layers=layers,
            anatomy=ANATOMIES[anatomy or function],
            multiply_adds=multiply_adds,
            parameters=parameters,
            image_px=image_px,
            min_px=min_px,
            single_px=single_px,
            norm_after_pool=norm_after_pool,
            licence=licence,
            **more,
        )

    return row


# Licences as the documentation of Keras names them.
_mobilenet = _family("mobilenet", "tf")
_mobilenet_v2 = _family("mobilenet_v2", "tf")
_mobilenet_v3 = _family("mobilenet_v3", "none", home="keras.applications")
# Keras adds one more rescaling layer to these where weights="imagenet".
_efficientnet = _family("efficientnet", "none")
_efficientnet_v2 = _family("efficientnet_v2", "none")
_resnet = _family("resnet", "caffe", "MIT")
_resnet_v2 = _family("resnet_v2", "tf", "BSD")
_densenet = _family("densenet", "torch", "BSD-3-Clause")
# Keras' own networks count some pairs of layers as one; see `training/network/plain_layers.py`.
_convnext = _family("convnext", "none", "MIT", single_px=63, norm_after_pool=True)
_inception_v3 = _family("inception_v3", "tf", min_px=75, single_px=106)
_inception_resnet_v2 = _family("inception_resnet_v2", "tf", min_px=75, single_px=106)
# Both have one preprocessing function, under two names.
_vgg = _family(*("vgg16", "caffe", "CC-BY"), single_px=63, home="keras.applications", family="vgg")
_xception = _family("xception", "tf", "MIT", min_px=71, single_px=0)


def _shipped_network(source: str, trained_on: str) -> Backbone:
    """A MobileNetV2 (alpha 0.35) with weights of this project."""
    return _mobilenet_v2(
        *(source, "MobileNetV2", 48, 3_182_624, 410_208, 154),
        options={"alpha": 0.35},
        shipped=f"{source}_mobilenet_v2_035.weights.h5",
        trained_on=trained_on,
    )


# Name, function, image_px, multiply-adds and parameters, both without the top, and layers.
_ROWS = (
    _shipped_network("strokes", "strokes"),
    _shipped_network("photos", "cifar10 train"),
    _mobilenet_v2(
        "mobilenet_v2_035", "MobileNetV2", 224, 58_005_808, 410_208, 154, options={"alpha": 0.35}
    ),
    _mobilenet_v2(
        "mobilenet_v2_050", "MobileNetV2", 224, 95_851_840, 706_224, 154, options={"alpha": 0.5}
    ),
    _mobilenet_v2(
        "mobilenet_v2_075", "MobileNetV2", 224, 207_789_792, 1_382_064, 154, options={"alpha": 0.75}
    ),
    _mobilenet_v2("mobilenet_v2", "MobileNetV2", 224, 299_494_272, 2_257_984, 154),
    _mobilenet_v2(
        "mobilenet_v2_130", "MobileNetV2", 224, 507_710_560, 3_766_048, 154, options={"alpha": 1.3}
    ),
    _mobilenet_v2(
        "mobilenet_v2_140", "MobileNetV2", 224, 580_403_824, 4_363_712, 154, options={"alpha": 1.4}
    ),
    _efficientnet("efficientnet_b0", "EfficientNetB0", 224, 384_534_752, 4_049_571, 237),
    _efficientnet("efficientnet_b1", "EfficientNetB1", 240, 685_522_832, 6_575_239, 339),
    _efficientnet("efficientnet_b2", "EfficientNetB2", 260, 992_153_872, 7_768_569, 339),
    _efficientnet("efficientnet_b3", "EfficientNetB3", 300, 1_825_605_392, 10_783_535, 384),
    _efficientnet("efficientnet_b4", "EfficientNetB4", 380, 4_391_979_024, 17_673_823, 474),
    _efficientnet("efficientnet_b5", "EfficientNetB5", 456, 10_264_336_752, 28_513_527, 576),
    _efficientnet("efficientnet_b6", "EfficientNetB6", 528, 19_065_289_536, 40_960_143, 666),
    _efficientnet("efficientnet_b7", "EfficientNetB7", 600, 37_743_324_192, 64_097_687, 813),
    _resnet("resnet50", "ResNet50", 224, 3_855_925_248, 23_587_712, 175),
    _resnet("resnet101", "ResNet101", 224, 7_568_146_432, 42_658_176, 345),
    _resnet("resnet152", "ResNet152", 224, 11_280_367_616, 58_370_944, 515),
    _mobilenet("mobilenet_025", "MobileNet", 224, 40_774_272, 218_544, 86, options={"alpha": 0.25}),
    _mobilenet("mobilenet_050", "MobileNet", 224, 148_985_088, 829_536, 86, options={"alpha": 0.5}),
    _mobilenet("mobilenet", "MobileNet", 224, 567_716_352, 3_228_864, 86),
    _mobilenet_v3("mobilenet_v3_small", "MobileNetV3Small", 224, 54_896_576, 939_120, 157),
    _mobilenet_v3("mobilenet_v3_large", "MobileNetV3Large", 224, 214_080_960, 2_996_352, 187),
    _mobilenet_v3(
        *("mobilenet_v3_minimalistic", "MobileNetV3Large", 224, 206_627_904, 1_437_608, 139),
        anatomy="MobileNetV3Minimalistic",
        options={"minimalistic": True},
    ),
    _efficientnet_v2("efficientnet_v2_b0", "EfficientNetV2B0", 224, 716_806_176, 5_919_312, 270),
    _efficientnet_v2("efficientnet_v2_b1", "EfficientNetV2B1", 240, 1_195_539_360, 6_931_124, 334),
    _efficientnet_v2("efficientnet_v2_b2", "EfficientNetV2B2", 260, 1_696_134_832, 8_769_374, 349),
    _efficientnet_v2("efficientnet_v2_b3", "EfficientNetV2B3", 300, 3_009_922_816, 12_930_622, 409),
    _efficientnet_v2("efficientnet_v2_s", "EfficientNetV2S", 384, 8_364_337_152, 20_331_360, 513),
    _efficientnet_v2("efficientnet_v2_m", "EfficientNetV2M", 480, 24_581_180_384, 53_150_388, 740),
    _efficientnet_v2(
        "efficientnet_v2_l", "EfficientNetV2L", 480, 56_078_419_008, 117_746_848, 1028
    ),
    _convnext("convnext_tiny", "ConvNeXtTiny", 224, 4_454_763_264, 27_820_128, 137),
    _convnext("convnext_small", "ConvNeXtSmall", 224, 8_682_944_256, 49_454_688, 263),
    _convnext("convnext_base", "ConvNeXtBase", 224, 15_353_705_472, 87_566_464, 263),
    _convnext("convnext_large", "ConvNeXtLarge", 224, 34_359_897_600, 196_230_336, 263),
    _convnext("convnext_xlarge", "ConvNeXtXLarge", 224, 60_918_982_656, 348_147_968, 263),
    _densenet("densenet121", "DenseNet121", 224, 2_833_137_664, 7_037_504, 427),
    _densenet("densenet169", "DenseNet169", 224, 3_358_179_328, 12_642_880, 595),
    _densenet("densenet201", "DenseNet201", 224, 4_289_445_888, 18_321_984, 707),
    _resnet_v2("resnet50_v2", "ResNet50V2", 224, 3_480_207_360, 23_564_800, 190),
    _resnet_v2("resnet101_v2", "ResNet101V2", 224, 7_192_428_544, 42_626_560, 377),
    _resnet_v2("resnet152_v2", "ResNet152V2", 224, 10_904_649_728, 58_331_648, 564),
    _inception_v3("inception_v3", "InceptionV3", 299, 5_711_168_096, 21_802_784, 311),
    _inception_resnet_v2(
        *("inception_resnet_v2", "InceptionResNetV2", 299, 13_154_258_016, 54_336_736, 780)
    ),
    _xception("xception", "Xception", 299, 8_355_355_496, 20_861_480, 132),
    _vgg("vgg16", "VGG16", 224, 15_346_630_656, 14_714_688, 19),
    _vgg("vgg19", "VGG19", 224, 19_508_428_800, 20_024_384, 22),
)

BACKBONES: dict[str, Backbone] = {row.name: row for row in (*_ROWS, *map(preset_row, PRESETS))}


def backbones() -> tuple[Backbone, ...]:
    """Every backbone of the catalogue; a space can also name hub networks and the user's own."""
    return tuple(BACKBONES.values())


def canonical_names(row: Backbone, weights: str) -> tuple[str, str]:
    """The canonical names of a backbone and its weights; rows of the same network share them."""
    weights = row.resolve_weights(weights)
    if weights == "shipped":
        return row.name, weights
    made = (row.build, row.options, None)
    alike = (other for other in _ROWS if (other.build, other.options, other.shipped) == made)
    return next(alike, row).name, weights


# Class names of CIFAR-10: data with exactly these classes is taken to be CIFAR-10, whatever its
# folder is called, so that weights pretrained on its train images are refused there (leakage).
CIFAR10_CLASSES = frozenset(
    ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
)


@dataclass(frozen=True)
class ExportFormat:
    """A kind of model file: its name in a bundle, and how far its predictions may be off.

    `any_size`: it takes pictures of any size and resizes them; other files take squares of
    `image_px`. `tolerance`: the largest difference between a probability and the trained network's
    (ten times that at most if the network amplifies rounding), None if the format rounds weights on
    purpose. `accuracy_loss`: the share of accuracy that the
    file may lose, None if only `tolerance` counts; one image is always allowed, two if the file
    resizes. `extra`: the packages it needs beyond tlsearch itself, a row of `config.extras`.
    `program`: loading the file runs code in it, which may read and write files. `dtype`: the dtype
    of the pixels that it takes, which are from 0 to 255 in either dtype. `weight_bytes`: the most
    bytes of float32 weights that it can be converted from, None if there is no limit.
    """

    name: str
    file: str
    any_size: bool
    tolerance: float | None
    accuracy_loss: float | None = None
    extra: str | None = None
    program: bool = False
    dtype: Literal["float32", "uint8"] = "float32"
    weight_bytes: int | None = None


# Of a Protocol Buffers message, and of a FlatBuffers file.
_MESSAGE = 2**31 - 1
EXPORT_FORMATS: dict[str, ExportFormat] = {
    row.name: row
    for row in (
        ExportFormat("keras", "model.keras", any_size=True, tolerance=1e-4, accuracy_loss=0.01),
        ExportFormat("saved_model", "saved_model", True, 1e-4, accuracy_loss=0.01, program=True),
        ExportFormat("litert", "model.tflite", False, tolerance=1e-4, weight_bytes=_MESSAGE),
        ExportFormat(
            *("litert_float16", "model_float16.tflite", False, None, 0.005), weight_bytes=_MESSAGE
        ),
        ExportFormat(
            *("litert_int8", "model_int8.tflite", False, None, 0.01),
            dtype="uint8",
            weight_bytes=_MESSAGE,
        ),
        ExportFormat(*("onnx", "model.onnx", False, 1e-4), extra="onnx", weight_bytes=_MESSAGE),
    )
}
NUMBER_BYTES = 4  # of a weight in float32


def formats_of(row: Backbone) -> tuple[str, ...]:
    """The names of the export formats that a network can be written in."""
    held = NUMBER_BYTES * row.parameters
    limits = {name: form.weight_bytes for name, form in EXPORT_FORMATS.items()}
    return tuple(name for name, limit in limits.items() if limit is None or held <= limit)


# Names of weights; anything else is the path of a file.
WEIGHTS = ("default", "imagenet", "shipped", "preset", "none")

DIGEST_DIGITS = 12  # of a digest, as messages show it
# What to do if a study finds other weights than it was trained with.
PUT_BACK = (
    "put the original weights back (of shipped ones: install the version that study.yaml names), "
    "or start another study with these"
)
# The warning for a study or checkpoint that lacks the digest of its pretrained weights.
UNRECORDED = (
    "does not record its pretrained weights, because an earlier version wrote it; tlsearch cannot "
    "check whether they have changed"
)

# How a feature map or tokens become a vector: the mean over places, mean and maximum, every value,
# the class token, or that and the mean. "default" is the one that suits the network.
POOLINGS = ("default", "gap", "mean", "gap_max", "flatten", "cls", "cls_mean")
CLASS_TOKEN_POOLINGS = ("cls", "cls_mean")

# How the learning rate changes: not at all, down to 0 along a cosine, or to a fifth whenever the
# validation loss has not fallen for two epochs.
SCHEDULES = ("constant", "cosine", "reduce_on_plateau")
# The first epoch whose rate a schedule can change: a shorter trial trains as with "constant".
SCHEDULE_ACTS = {"constant": 1, "cosine": 2, "reduce_on_plateau": 4}

# The weight of an image in training: equal for all, or higher the rarer its class is.
CLASS_WEIGHTS = ("none", "balanced")

OPTIMIZERS = ("adam", "adamw", "sgd", "rmsprop")
# Two names of one optimizer: weight decay is decoupled in all of them.
SAME_OPTIMIZER = {"adam": "adamw"}

# Metric name -> whether higher or lower is better. Computed on the validation split after every
# epoch.
METRICS: dict[str, Direction] = {
    "accuracy": Direction.MAX,
    "balanced_accuracy": Direction.MAX,
    "macro_f1": Direction.MAX,
    "auc": Direction.MAX,
    "loss": Direction.MIN,
}
# Metric name -> its best value, which a trial can reach; loss only approaches 0.
PERFECT: dict[str, float] = {name: 1.0 for name, way in METRICS.items() if way is Direction.MAX}

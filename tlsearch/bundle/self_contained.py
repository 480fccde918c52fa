"""Safety checks of a model file before its runtime loads it: no foreign code, no other files."""

import importlib
import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tlsearch.base.errors import ConfigError, RecordError, first_line
from tlsearch.config.catalog import ExportFormat
from tlsearch.config.networks.own import DESCRIPTION

# The members of a `.keras` file that tlsearch writes.
MEMBERS = frozenset(
    (
        *("metadata.json", "config.json", "model.weights.h5"),
        *("labels.json", "bits.json"),  # in an exported model
        DESCRIPTION,  # in a network that a user brought along
    )
)
# The Keras classes that its configuration may name: every class of some modules, and the listed
# classes of others. Classes left out read files (StringLookup, TFSMLayer) or run code (Lambda,
# TorchModuleWrapper).
_ANY_CLASS = frozenset(("keras.initializers", "keras.regularizers", "keras.constraints"))
_VALUES = frozenset(
    ("__ellipsis__", "__keras_tensor__", "__numpy__", "__slice__", "__tensor__", "__tuple__")
)
KNOWN_CLASSES = {
    "keras": {"DTypePolicy", "Sequential"},
    "keras.dtype_policies": {"DTypePolicy"},
    "keras.src.applications.convnext": {"LayerScale"},
    "keras.src.applications.inception_resnet_v2": {"CustomScaleLayer"},
    "keras.src.models.functional": {"Functional"},
    "keras.src.ops.nn": {"Gelu", "Silu", "Softmax"},
    "keras.src.ops.numpy": {
        "Add",
        "Concatenate",
        "Cumsum",
        "Divide",
        "GetItem",
        "Matmul",
        "Multiply",
        "Negative",
        "OnesLike",
        "Pad",
        "Reshape",
        "Subtract",
        "Transpose",
        "TrueDivide",
        "ZerosLike",
    },
    "keras.layers": {
        "Activation",
        "Add",
        "Average",
        "AveragePooling2D",
        "BatchNormalization",
        "Concatenate",
        "Conv2D",
        "Conv2DTranspose",
        "Cropping1D",
        "Cropping2D",
        "Dense",
        "DepthwiseConv2D",
        "Dropout",
        "ELU",
        "Embedding",
        "Flatten",
        "GlobalAveragePooling1D",
        "GlobalAveragePooling2D",
        "GlobalMaxPooling1D",
        "GlobalMaxPooling2D",
        "GroupNormalization",
        "Identity",
        "InputLayer",
        "LayerNormalization",
        "LeakyReLU",
        "MaxPooling2D",
        "Maximum",
        "Multiply",
        "Normalization",
        "PReLU",
        "Permute",
        "RMSNormalization",
        "ReLU",
        "Rescaling",
        "Reshape",
        "Resizing",
        "SeparableConv2D",
        "Softmax",
        "SpatialDropout2D",
        "Subtract",
        "UnitNormalization",
        "UpSampling2D",
        "ZeroPadding1D",
        "ZeroPadding2D",
    },
}
_DOMAINS = frozenset(("", "ai.onnx", "ai.onnx.ml"))  # the domains of standard ONNX operators


def require_self_contained(path: Path, form: ExportFormat) -> None:
    """Raise RecordError if loading the file could do more than compute probabilities.

    A SavedModel is not checked, since it is a program. Raises ImportError if a package that reads
    the format is missing.
    """
    check = _CHECKS.get(form.name.partition("_")[0])
    if check is None:
        return
    try:
        check(path)
    except (RecordError, ConfigError, ImportError):
        raise
    except Exception as error:  # each parser has its own exceptions for unreadable bytes
        why = first_line(error)
        raise RecordError(f"{path}: cannot be loaded as {form.name} ({why})") from error


def _keras(path: Path) -> None:
    if path.suffix != ".keras":  # Keras loads other suffixes in older formats, which can run code
        raise RecordError(f"{path}: expected a file named *.keras")
    with zipfile.ZipFile(path) as archive:
        names = [info.filename for info in archive.infolist()]
        if foreign := sorted({*names} - MEMBERS):
            raise RecordError(f"{path}: holds {foreign[0]!r}, which does not belong in a model")
        if len(names) > len({*names}):
            raise RecordError(f"{path}: holds a member twice")
        if any(info.compress_type != zipfile.ZIP_STORED for info in archive.infolist()):
            raise RecordError(f"{path}: its ZIP members are compressed, expected uncompressed ones")
        require_known_classes(path, json.loads(archive.read("config.json")))
        with archive.open("model.weights.h5") as weights:
            _require_own_weights(path, weights)


def require_known_classes(path: Path, config: Any) -> None:
    """Raise RecordError unless tlsearch writes every class that the configuration names.

    The optimizer and the loss are skipped, since tlsearch never loads them.
    """
    for named in class_configs({**config, "compile_config": None}):
        name, module = named["class_name"], named.get("module")
        if not _is_known(name, module) or named.get("registered_name") not in (None, name):
            raise RecordError(
                f"{path}: holds {module}.{name}, expected only Keras layers that tlsearch can "
                "export; custom layers and Lambda are refused"
            )


def _is_known(name: object, module: object) -> bool:
    if not isinstance(name, str) or not isinstance(module, str | None):
        return False
    if module is None:
        return name in _VALUES
    return module in _ANY_CLASS or name in KNOWN_CLASSES.get(module, ())


def class_configs(config: Any) -> Iterator[dict[str, Any]]:
    """Yield every part of a configuration that names a class, at any depth."""
    if isinstance(config, dict):
        if "class_name" in config:
            yield config
        config = [*config.values()]
    if isinstance(config, list):
        for part in config:
            yield from class_configs(part)


def _require_own_weights(path: Path, weights: Any) -> None:
    h5py = importlib.import_module("h5py")
    with h5py.File(weights, "r") as file:
        groups, seen = [file], {file.id}  # a hard link may form a cycle
        while groups:
            group = groups.pop()
            for name in group:
                link, one = group.get(name, getlink=True), None
                if isinstance(link, h5py.HardLink):
                    one = group[name]
                if one is None or (isinstance(one, h5py.Dataset) and _is_elsewhere(one)):
                    why = f"its weights link to data outside the file ({name!r})"
                    raise RecordError(f"{path}: {why}")
                if isinstance(one, h5py.Group) and one.id not in seen:
                    seen.add(one.id)
                    groups.append(one)


def _is_elsewhere(values: Any) -> bool:
    return bool(values.external) or bool(values.is_virtual)


def _onnx(path: Path) -> None:
    onnx = importlib.import_module("onnx")
    model = onnx.load(str(path), load_external_data=False)
    for part in _parts(model):
        if isinstance(part, onnx.TensorProto) and (part.external_data or part.data_location):
            where = "in another file, expected them inside this one"
            raise RecordError(f"{path}: its weights are {where}")
        if isinstance(part, onnx.NodeProto | onnx.FunctionProto) and part.domain not in _DOMAINS:
            raise RecordError(
                f"{path}: holds operators of {part.domain}, which are not standard ones"
            )


def _parts(message: Any) -> Iterator[Any]:
    """Yield a protocol buffer and all messages inside it."""
    yield message
    for field, value in message.ListFields():
        if field.message_type is not None:
            for part in [value] if hasattr(value, "ListFields") else value:
                yield from _parts(part)


def _litert(path: Path) -> None:
    """Refuse custom operators.

    In TensorFlow's copy of LiteRT, these may be TensorFlow operators, which read and write files.
    """
    try:
        schema = importlib.import_module("ai_edge_litert.schema_py_generated")
    except ImportError:
        schema = importlib.import_module("tensorflow.lite.python.schema_py_generated")
    data = path.read_bytes()
    if data[4:8] != b"TFL3":
        raise RecordError(f"{path}: cannot be loaded as litert (not a LiteRT file)")
    model = schema.Model.GetRootAs(data, 0)
    for index in range(model.OperatorCodesLength()):
        if (custom := model.OperatorCodes(index).CustomCode()) is not None:
            raise RecordError(
                f"{path}: holds the operator {custom.decode(errors='replace')!r}, which is not "
                "one of LiteRT's own"
            )


_CHECKS: dict[str, Callable[[Path], None]] = {"keras": _keras, "litert": _litert, "onnx": _onnx}

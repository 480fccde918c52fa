"""The user's own networks: imported by a clean process, then built from the imported file.

The process reads an `ImportRequest` as JSON from stdin and writes one line of JSON to stdout.
"""

import importlib
import json
import os
import sys
import tempfile
import zipfile
from dataclasses import asdict
from pathlib import Path

import keras
from keras.src.models.functional import Functional

from tlsearch.base.errors import ConfigError, RecordError, first_line
from tlsearch.base.files import atomic_file
from tlsearch.bundle.self_contained import class_configs, require_self_contained
from tlsearch.config.catalog import DIGEST_DIGITS, EXPORT_FORMATS
from tlsearch.config.networks.anatomy import BATCH_NORM, DROPOUT, OTHER, WEIGHTS
from tlsearch.config.networks.own import DESCRIPTION, FILE, Description, ImportRequest
from tlsearch.config.spelling import did_you_mean
from tlsearch.training.network.cut import cut_points
from tlsearch.training.network.identity import network_digest
from tlsearch.training.network.multiply_adds import forward_multiply_adds
from tlsearch.training.network.plain_layers import in_plain_layers

USUAL_PX = 224  # assumed for a network that takes images of any size
_HEAD = frozenset(("linear", "sigmoid", "softmax"))  # activations of a head's last layer
_EXPECTED = (
    "expected a network without its head, which gives feature maps (n, height, width, channels) "
    "or pooled vectors (n, channels)"
)


def own_network(
    include_top: bool, input_shape: tuple[int, int, int], weights: None, path: str
) -> keras.Model:
    """Build the network of an imported file for one image size, with random weights.

    It computes in the current dtype policy. Raises RecordError if loading the file could do more
    than build a network.
    """
    del include_top, weights  # part of the signature of Keras' own builders
    require_self_contained(Path(path), EXPORT_FORMATS["keras"])
    with zipfile.ZipFile(path) as archive:
        config = json.loads(archive.read("config.json"))
    config.pop("compile_config", None)
    for part in class_configs(config):
        if part["class_name"] == "DTypePolicy":
            part["config"]["name"] = keras.config.dtype_policy().name
        elif part["class_name"] == "InputLayer":
            part["config"]["batch_shape"] = [None, *input_shape]
    return keras.saving.deserialize_keras_object(config, safe_mode=True)


def import_network(request: ImportRequest) -> Path:
    """Load or build a network, check it, and write it to a file with a description.

    Raises ConfigError, which states the problem in one line.
    """
    keras.utils.set_random_seed(0)  # the user's function may leave weights random
    given = _load(Path(request.source)) if request.name else _call_function(request.source)
    _require_form(given)
    model = in_plain_layers(keras.Model(given.inputs[0], given.outputs[0]))
    for layer in model.layers:
        layer.trainable = True  # the search decides which layers are frozen
    about = _describe_network(model, request)
    name = request.name or f"{request.source.replace(':', '.')}-{_digest(model, request)}{FILE}"
    path = Path(request.folder) / name
    _write(model, about, path)
    return path


def _digest(model: keras.Model, request: ImportRequest) -> str:
    return f"{network_digest(model)[:DIGEST_DIGITS]}-{request.preprocess}".removesuffix("-none")


def _load(path: Path) -> keras.Model:
    try:
        require_self_contained(path, EXPORT_FORMATS["keras"])
        return keras.models.load_model(path, compile=False, safe_mode=True)
    except RecordError as error:
        raise ConfigError([str(error).removeprefix(f"{path}: ")]) from error
    except Exception as error:  # Keras raises many types for a file that it cannot read
        raise ConfigError([f"cannot be loaded ({first_line(error)})"]) from error


def _call_function(source: str) -> keras.Model:
    """Return the result of the user's function, called without arguments."""
    module, name = source.split(":")
    try:
        known = vars(importlib.import_module(module))
    except ModuleNotFoundError as error:
        if not module.startswith(str(error.name)):
            raise ConfigError([f"{module} cannot be imported ({error})"]) from error
        raise ConfigError(
            [f"no module {error.name} in {Path.cwd()} or among the installed packages"]
        ) from error
    except Exception as error:  # whatever its code raises
        raise ConfigError([f"{module} cannot be imported ({_describe_error(error)})"]) from error
    if name not in known:
        functions = [one for one, value in known.items() if callable(value)]
        raise ConfigError([f"no {name} in {module}, {did_you_mean(name, functions)}"])
    try:
        return known[name]()
    except Exception as error:  # whatever its code raises
        raise ConfigError(
            [f"called without arguments, it raised {_describe_error(error)}"]
        ) from error


def _describe_error(error: Exception) -> str:
    return f"{type(error).__name__}: {first_line(error)}"


def _require_form(model: object) -> None:
    """Raise ConfigError unless `model` is a graph of layers from one image to maps or a vector."""
    if not isinstance(model, keras.Model):
        raise ConfigError([f"found a {type(model).__name__}, expected a keras.Model"])
    if not isinstance(model, keras.Sequential | Functional) or not model.built:
        raise ConfigError(
            ["found a model without a graph of layers, expected a Functional or Sequential model"]
        )
    shapes = [tuple(tensor.shape) for tensor in model.inputs]
    if len(shapes) != 1 or len(shapes[0]) != 4 or shapes[0][-1] != 3:
        raise ConfigError([f"takes {shapes}, expected one input (n, height, width, 3)"])
    if shapes[0][1] != shapes[0][2]:
        raise ConfigError([f"takes {shapes[0]}, expected squares, or any height and width"])
    shapes = [tuple(tensor.shape) for tensor in model.outputs]
    if len(shapes) != 1 or len(shapes[0]) not in (2, 4):
        raise ConfigError([f"gives {shapes}, {_EXPECTED}"])
    _require_no_head(model)


def _require_no_head(model: keras.Model) -> None:
    last = model.layers[-1]
    while isinstance(last, keras.Model):
        last = last.layers[-1]
    if len(model.outputs[0].shape) == 2 and _is_head(last):
        raise ConfigError([f"ends in a head, {last.name} ({type(last).__name__}): {_EXPECTED}"])


def _is_head(layer: keras.Layer) -> bool:
    if isinstance(layer, keras.layers.Softmax):
        return True
    if not isinstance(layer, keras.layers.Dense | keras.layers.Activation):
        return False
    return keras.activations.serialize(layer.activation) in _HEAD


def _describe_network(model: keras.Model, request: ImportRequest) -> Description:
    px = model.input_shape[1]
    measured = model if px else keras.models.clone_model(model, keras.Input((USUAL_PX,) * 2 + (3,)))
    return Description(
        source=os.path.basename(request.source),
        preprocess=request.preprocess,
        letters=letters(model),
        image_px=px or USUAL_PX,
        fixed=px is not None,
        vector=len(model.output_shape) == 2,
        multiply_adds=forward_multiply_adds(measured.layers),
        parameters=model.count_params(),
    )


def letters(model: keras.Model) -> str:
    """Return one letter per layer of a network, as in `Anatomy`; upper case marks a cut point."""
    cuts = {cut.index for cut in cut_points(model)}
    kinds = [_letter(layer) for layer in model.layers]
    return "".join(kind.upper() if n in cuts else kind for n, kind in enumerate(kinds))


def _letter(layer: keras.Layer) -> str:
    if isinstance(layer, keras.layers.BatchNormalization):
        return BATCH_NORM
    if isinstance(layer, keras.layers.Dropout):
        return DROPOUT
    return WEIGHTS if layer.trainable_variables else OTHER


def _write(model: keras.Model, about: Description, path: Path) -> None:
    """Write the Keras file with the description; raises ConfigError if a layer is not allowed in an
    exported model.
    """
    with tempfile.TemporaryDirectory() as scratch:
        saved = Path(scratch) / f"network{FILE}"
        try:
            model.save(saved)
            require_self_contained(saved, EXPORT_FORMATS["keras"])
        except RecordError as error:
            raise ConfigError([str(error).removeprefix(f"{saved}: ")]) from error
        except Exception as error:  # a layer of the user's own may lack get_config
            raise ConfigError([f"cannot be saved ({_describe_error(error)})"]) from error
        with zipfile.ZipFile(saved, "a") as archive:
            archive.writestr(DESCRIPTION, json.dumps(asdict(about)))
        with atomic_file(path) as file:
            file.write(saved.read_bytes())


def _answer(request: ImportRequest) -> dict[str, str]:
    try:
        return {"path": str(import_network(request))}
    except ConfigError as error:
        return {"problem": str(error)}


if __name__ == "__main__":
    sys.stdout.write("\n" + json.dumps(_answer(ImportRequest(**json.load(sys.stdin)))) + "\n")

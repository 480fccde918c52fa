"""Write a trained network in each export format, with one function per format."""

import errno
import functools
import importlib
import json
import logging
import os
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from tlsearch.base.array_types import Pixels
from tlsearch.base.errors import ConfigError, RecordError
from tlsearch.bundle.manifest import LABELS
from tlsearch.bundle.open_bundle import BITS
from tlsearch.config.catalog import EXPORT_FORMATS
from tlsearch.config.extras import missing_packages_message, require_extra
from tlsearch.config.trial_config import TrialConfig
from tlsearch.data.depth import Bits
from tlsearch.training.export.whole_model import any_size_model, square_model
from tlsearch.training.network.model import Network


@dataclass(frozen=True, eq=False)
class Exportable:
    """The input of the writers: a trial's network, its labels, and training images (n, px, px, 3)
    uint8 to calibrate integer formats. `bits` gives the bit depth at which 16-bit images were read.
    """

    network: Network
    trial: TrialConfig
    labels: Sequence[str]
    calibration: Pixels
    bits: Bits | None = None

    @functools.cached_property
    def any_size(self) -> keras.Model:
        """The model for images of any size, built on first use."""
        return any_size_model(self.network, self.trial)

    @functools.cached_property
    def square(self) -> keras.Model:
        """The model for squares of the trained size, built on first use."""
        return square_model(self.network, self.trial)


def write_format(form: str, model: Exportable, path: Path) -> None:
    """Write one format at `path`. Raises ConfigError if a required package is not installed,
    RecordError if the conversion fails.
    """
    require_extra(form, EXPORT_FORMATS[form].extra)
    try:
        WRITERS[form](model, path)
    except ImportError as error:
        extra = EXPORT_FORMATS[form].extra or ""
        raise ConfigError([missing_packages_message(form, extra, [error.name or extra])]) from error
    except Exception as error:  # each converter raises its own types for unsupported networks
        if isinstance(error, OSError) or os.strerror(errno.ENOSPC) in str(error):
            raise _write_error(path, error) from error  # not the format's fault
        reason = (str(error).strip().splitlines() or [""])[0]
        raise RecordError(
            f"{path.name}: the conversion to {form} failed ({type(error).__name__}: {reason})"
        ) from error


def _write_error(path: Path, error: Exception) -> OSError:
    """Return the OSError of a failed write with the name of the file, which few converters give."""
    number = getattr(error, "errno", None) or errno.ENOSPC
    named = getattr(error, "filename", None)
    return OSError(number, os.strerror(number), named or str(path))


def _keras(model: Exportable, path: Path) -> None:
    model.any_size.save(path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(LABELS, json.dumps(list(model.labels)))
        if model.bits is not None:
            archive.writestr(BITS, json.dumps(dict(model.bits)))


def _saved_model(model: Exportable, path: Path) -> None:
    _save_signature(model.any_size, path)


def _litert(model: Exportable, path: Path) -> None:
    _convert(model, path, lambda converter: None)


def _litert_float16(model: Exportable, path: Path) -> None:
    def halve(converter: "tf.lite.TFLiteConverter") -> None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16]

    _convert(model, path, halve)


def _litert_int8(model: Exportable, path: Path) -> None:
    """Write weights and activations as 8-bit integers; takes uint8 pixels, returns float
    probabilities.
    """

    def quantise(converter: "tf.lite.TFLiteConverter") -> None:
        images = model.calibration.astype(np.float32)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([image[None]] for image in images)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = tf.uint8
        converter.inference_output_type = tf.float32

    _convert(model, path, quantise)


def _onnx(model: Exportable, path: Path) -> None:
    tf2onnx = importlib.import_module("tf2onnx")
    onnx = importlib.import_module("onnx")
    logging.getLogger("tf2onnx").setLevel(logging.CRITICAL)  # skipped optimisations log tracebacks
    signature = _image(model.square)
    # tf2onnx takes captured constants, such as Normalization's mean, for inputs: freeze them.
    frozen = convert_variables_to_constants_v2(_signature(model.square).get_concrete_function())
    serve = tf.function(lambda image: {"probabilities": frozen(image)[0]}, [signature])
    known: dict[str, object] = {"Erfc": (_erfc, [])}
    graph, _ = tf2onnx.convert.from_function(serve, [signature], custom_op_handlers=known)
    for tensor in (*graph.graph.input, *graph.graph.output):
        tensor.type.tensor_type.shape.dim[0].dim_param = "batch"
    onnx.checker.check_model(graph)
    onnx.save(graph, path)


def _erfc(graph: Any, node: Any, _name: str, _arguments: Any) -> None:
    """Replace Erfc, with which TensorFlow computes GELU, by 1 - Erf(x): ONNX has no Erfc."""
    shapes, dtypes = node.output_shapes, node.output_dtypes
    one = graph.make_const(f"{node.name}_one", np.array(1, np.float32))
    erf = graph.make_node("Erf", node.input, shapes=shapes, dtypes=dtypes)
    graph.remove_node(node.name)
    inputs = [one.output[0], erf.output[0]]
    graph.make_node("Sub", inputs, outputs=node.output, shapes=shapes, dtypes=dtypes)


def _convert(
    model: Exportable, path: Path, settle: Callable[["tf.lite.TFLiteConverter"], None]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        _save_signature(model.square, Path(folder))
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        settle(converter)
        path.write_bytes(converter.convert())


def _save_signature(model: keras.Model, path: Path) -> None:
    """Write a SavedModel whose signature takes `image` and returns `probabilities`."""
    module = tf.Module()
    module.tracked = [variable.value for variable in model.variables]  # Keras' own are not tracked
    module.serve = _signature(model)
    tf.saved_model.save(module, str(path), signatures={"serving_default": module.serve})


def _signature(model: keras.Model) -> tf.types.experimental.PolymorphicFunction:
    """Return a TensorFlow function that takes `image` and returns `probabilities`."""

    @tf.function(input_signature=[_image(model)], jit_compile=False)
    def serve(image: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"probabilities": model(image, training=False)}

    return serve


def _image(model: keras.Model) -> tf.TensorSpec:
    return tf.TensorSpec((None, *model.input_shape[1:]), tf.float32, name="image")


WRITERS: dict[str, Callable[[Exportable, Path], None]] = {
    "keras": _keras,
    "saved_model": _saved_model,
    "litert": _litert,
    "litert_float16": _litert_float16,
    "litert_int8": _litert_int8,
    "onnx": _onnx,
}

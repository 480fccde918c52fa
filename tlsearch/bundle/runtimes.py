"""Loading a model file in its runtime (TensorFlow, LiteRT or ONNX Runtime), imported on use."""

import contextlib
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tlsearch.base.array_types import Floats, Pixels
from tlsearch.base.cores import granted_cores
from tlsearch.base.errors import ConfigError, RecordError, first_line
from tlsearch.bundle.quiet_tensorflow import import_tensorflow
from tlsearch.bundle.self_contained import require_self_contained
from tlsearch.config.catalog import EXPORT_FORMATS, ExportFormat
from tlsearch.config.extras import OPENING, missing_packages_message, require_extra

# RGB 0-255, (n, height, width, 3) -> probabilities, (n, classes) float32.
Predict = Callable[[Pixels], Floats]


def load(path: Path, form: ExportFormat, threads: int | None = None) -> Predict:
    """Load a model file to run on `threads` threads, by default one per core.

    Raises RecordError if the file is invalid, or if loading it could run foreign code or read other
    files, which is checked for every format but SavedModel. Raises ConfigError if the runtime is
    not installed. The returned function raises RecordError for images that the model cannot take.
    TensorFlow keeps the number of threads of its first use in a process.
    """
    opener = _OPENERS[form.name.partition("_")[0] if "litert" in form.name else form.name]
    require_extra(form.name, form.extra, OPENING.get(form.name))
    try:
        require_self_contained(path, form)
        return _with_record_errors(path, opener(path, threads or granted_cores()))
    except ImportError as error:
        extra = form.extra or ""
        raise ConfigError(
            [missing_packages_message(form.name, extra, [error.name or extra])]
        ) from error
    except (ConfigError, RecordError):
        raise
    except Exception as error:  # each runtime has its own exceptions for an unreadable file
        raise RecordError(
            f"{path}: cannot be loaded as {form.name} ({first_line(error)})"
        ) from error


def import_runtime(form: ExportFormat, threads: int) -> None:
    """Import the runtime of a format before a file exists; `load` reports a missing package."""
    with contextlib.suppress(ImportError):
        if form.name == "onnx":
            importlib.import_module("onnxruntime")
        elif "litert" in form.name:
            _litert_module(threads)
        else:
            _tensorflow(threads)
            importlib.import_module("keras")


def _with_record_errors(path: Path, run: Predict) -> Predict:
    """Return `run` with its exceptions converted to RecordError."""

    def predict(images: Pixels) -> Floats:
        try:
            return run(images)
        except MemoryError:
            raise
        except Exception as error:  # each runtime has its own exceptions for unsuitable input
            raise RecordError(f"{path}: cannot be run ({first_line(error)})") from error

    return predict


def _tensorflow(threads: int) -> Any:
    import_tensorflow()
    tf = importlib.import_module("tensorflow")
    # TF32 on recent GPUs changes probabilities by more than a file may differ from its network.
    tf.config.experimental.enable_tensor_float_32_execution(False)
    if tf.config.threading.get_intra_op_parallelism_threads() != threads:
        try:
            tf.config.threading.set_intra_op_parallelism_threads(threads)
            tf.config.threading.set_inter_op_parallelism_threads(1)
        except RuntimeError:  # TensorFlow has run already, so its threads cannot be changed
            return tf
    return tf


def _keras(path: Path, threads: int) -> Predict:
    tf = _tensorflow(threads)
    model = _keras_model(path)
    spec = tf.TensorSpec((None, *model.input_shape[1:]), tf.float32)
    graph = tf.function(lambda x: model(x, training=False), input_signature=[spec])
    return lambda images: np.asarray(graph(images.astype(np.float32)))


def load_keras(path: Path) -> Any:
    """Load the `keras.Model` of a `.keras` file.

    Raises RecordError if it has layers other than those that tlsearch writes.
    """
    require_self_contained(path, EXPORT_FORMATS["keras"])
    return _keras_model(path)


def _keras_model(path: Path) -> Any:
    import_tensorflow()
    keras = importlib.import_module("keras")
    return keras.models.load_model(path, safe_mode=True, compile=False)


def _saved_model(path: Path, threads: int) -> Predict:
    tf = _tensorflow(threads)
    serve = tf.saved_model.load(str(path)).signatures["serving_default"]
    (name,) = serve.structured_input_signature[1]

    def predict(images: Pixels) -> Floats:
        outputs = serve(**{name: tf.constant(images, tf.float32)})
        return np.asarray(outputs["probabilities"])

    return predict


def _litert(path: Path, threads: int) -> Predict:
    interpreter = _interpreter(path, threads)
    (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()
    state = {"rows": -1}

    def predict(images: Pixels) -> Floats:
        if len(images) != state["rows"]:
            interpreter.resize_tensor_input(source["index"], images.shape)
            interpreter.allocate_tensors()
            state["rows"] = len(images)
        interpreter.set_tensor(source["index"], images.astype(source["dtype"]))
        interpreter.invoke()
        return np.array(interpreter.get_tensor(target["index"]))

    return predict


def _interpreter(path: Path, threads: int) -> Any:
    return _litert_module(threads).Interpreter(model_path=str(path), num_threads=threads)


def _litert_module(threads: int) -> Any:
    """Import LiteRT's own package if it is installed, else the copy inside TensorFlow."""
    try:
        return importlib.import_module("ai_edge_litert.interpreter")
    except ImportError:
        return _tensorflow(threads).lite


def _onnx(path: Path, threads: int) -> Predict:
    runtime = importlib.import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    session = runtime.InferenceSession(
        str(path), options, providers=runtime.get_available_providers()
    )
    name = session.get_inputs()[0].name
    return lambda images: np.asarray(session.run(None, {name: images.astype(np.float32)})[0])


_OPENERS: dict[str, Callable[[Path, int], Predict]] = {
    "keras": _keras,
    "saved_model": _saved_model,
    "litert": _litert,
    "onnx": _onnx,
}

"""The identity of a network: one digest of its weights, its layers and their connections."""

import hashlib
import json

import keras
import numpy as np

# The settings that determine a layer's output. Settings of training alone, names, seeds and image
# sizes are left out, and so are settings that a later version of Keras may add.
DECISIVE = frozenset(
    (
        *("activation", "alpha", "antialias", "approximate", "axes", "axis", "center"),
        *("crop_to_aspect_ratio", "cropping"),
        *("data_format", "depth_multiplier", "dilation_rate", "dims", "epsilon", "fill_mode"),
        *("fill_value", "filters", "groups", "height", "interpolation", "invert", "keepdims"),
        *("kernel_size", "max_value", "negative_slope", "offset", "output_padding"),
        *("pad_to_aspect_ratio", "padding", "pool_size", "rate", "rms_scaling", "scale"),
        *(
            "shared_axes",
            "shift",
            "size",
            "strides",
            "target_shape",
            "threshold",
            "use_bias",
            "width",
        ),
    )
)


def network_digest(model: keras.Model) -> str:
    """Return a digest of everything that determines the network's output, the same in every
    process.

    Keras draws new dropout seeds in each process, so they are left out.
    """
    digest = hashlib.blake2b(json.dumps(_architecture(model)).encode(), digest_size=16)
    for variable in model.variables:
        if "seed_generator" not in variable.path:
            digest.update(np.ascontiguousarray(variable.numpy()).tobytes())
    return digest.hexdigest()


def _architecture(model: keras.Model) -> list[object]:
    """List each operation in order: its type, its settings, and its inputs by position."""
    places = {id(operation): place for place, operation in enumerate(model.operations)}
    return [
        [type(operation).__name__, _settings(operation), _read(operation, places)]
        for operation in model.operations
    ]


def _settings(operation: keras.Operation) -> dict[str, object]:
    known = operation.get_config()  # operations of `keras.ops` take more settings as arguments
    return {name: known[name] for name in sorted(DECISIVE & known.keys())}


def _read(operation: keras.Operation, places: dict[int, int]) -> list[object]:
    """List the arguments of an operation: the output of another one as [its position, output
    index], any other argument as its value.
    """
    nodes = operation._inbound_nodes
    given = [[node.arguments.args, node.arguments.kwargs] for node in nodes if node.input_tensors]
    return [
        _source(value, places) if isinstance(value, keras.KerasTensor) else _plain(value)
        for value in keras.tree.flatten(given)
        if value is not None
    ]


def _source(tensor: keras.KerasTensor, places: dict[int, int]) -> list[int | None]:
    history = tensor._keras_history
    return [places.get(id(history.operation)), history.tensor_index]


def _plain(value: object) -> object:
    if isinstance(value, slice):
        return [value.start, value.stop, value.step]
    if value is Ellipsis:
        return "..."
    return value if isinstance(value, str) else np.asarray(value).tolist()

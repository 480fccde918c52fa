"""Rewrite a network in plain layers: no nested networks, and only layer types that every export
format supports.
"""

import functools

import keras
from keras.src.models.functional import Functional


def in_plain_layers(model: keras.Model, values: bool = True) -> keras.Model:
    """Return the same network with nested networks replaced by their layers, and with
    DepthwiseConv2D in place of convolutions with one group per channel; `values` says whether its
    variables have values to copy.

    Keras runs grouped convolutions through XLA: on a CPU a frozen pass of ConvNeXt takes six times
    as long, and ONNX has no such operation.
    """
    if not any(isinstance(x, keras.Model) or _by_channel(x) for x in model.layers):
        return model
    made: dict[int, tuple[keras.Operation, keras.Operation]] = {}  # a layer may be called twice

    def called(
        operation: keras.Operation, *given: keras.KerasTensor, **settings: object
    ) -> keras.KerasTensor:
        if isinstance(operation, keras.Sequential):
            (x,) = given
            for layer in operation.layers:
                x = called(layer, x)
            return x
        if isinstance(operation, Functional):
            return operation._run_through_graph(given, lambda one: functools.partial(called, one))
        _, plain = made.setdefault(id(operation), (operation, _plain(operation)))
        return plain(*given, **settings)

    pixels = keras.Input(model.input_shape[1:])
    plain = keras.models.clone_model(model, pixels, lambda layer: layer, called)
    if values:
        for old, new in made.values():
            _copy_values(old, new)
    return plain


def _by_channel(layer: keras.Operation) -> bool:
    """Return whether a convolution applies one kernel to each channel."""
    return isinstance(layer, keras.layers.Conv2D) and 1 < layer.groups == layer.filters


def _plain(operation: keras.Operation) -> keras.Operation:
    """Return a new layer or operation that computes the same as this one."""
    known = operation.get_config()
    if not _by_channel(operation):
        return type(operation).from_config(known)
    same = ("name", "kernel_size", "strides", "padding", "dilation_rate", "use_bias", "dtype")
    return keras.layers.DepthwiseConv2D(**{name: known[name] for name in same})


def _copy_values(old: keras.Operation, new: keras.Operation) -> None:
    """Copy the variables of a layer. Depthwise kernels are (height, width, channels, 1), grouped
    ones (height, width, 1, channels): the same values in the same order.
    """
    if isinstance(old, keras.layers.Layer):
        for before, after in zip(old.variables, new.variables, strict=True):
            after.assign(before.numpy().reshape(after.shape))

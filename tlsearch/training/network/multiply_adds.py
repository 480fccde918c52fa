"""The multiply-adds of a network."""

import math

import keras

_CONVOLUTIONS = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.SeparableConv2D)


def multiply_adds(layer: keras.Layer) -> int:
    """Return the multiply-adds per image of a dense or convolutional layer; 0 for any other layer.

    A dense layer is applied at every position of a feature map.
    """
    if isinstance(layer, keras.layers.Dense):
        return int(math.prod(layer.output.shape[1:-1]) * math.prod(layer.kernel.shape))
    if not isinstance(layer, _CONVOLUTIONS):
        return 0
    _, height, width, _ = layer.output.shape
    return int(height * width * sum(math.prod(kernel.shape) for kernel in _kernels(layer)))


def _kernels(layer: keras.Layer) -> tuple[keras.Variable, ...]:
    """Return the kernels of a convolution, each of which is applied at every position of the
    output.
    """
    if isinstance(layer, keras.layers.SeparableConv2D):
        return layer.depthwise_kernel, layer.pointwise_kernel
    return (layer.kernel,)


def forward_multiply_adds(layers: list[keras.Layer]) -> int:
    """Return the multiply-adds of one image through these layers."""
    return sum(multiply_adds(layer) for layer in layers)


def trained_multiply_adds(layers: list[keras.Layer]) -> int:
    """Return the multiply-adds of one image through those of these layers that train."""
    return forward_multiply_adds([layer for layer in layers if layer.trainable_variables])


def trained_share(layers: list[keras.Layer], head: list[keras.Layer]) -> float:
    """Return the share of multiply-adds, backbone and head together, in layers that train."""
    everything = [*layers, *head]
    total = forward_multiply_adds(everything)
    return trained_multiply_adds(everything) / total if total else 0.0

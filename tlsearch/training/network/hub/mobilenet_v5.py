"""A MobileNetV5 in plain Keras layers, block by block.

KerasHub builds it from custom layers and a lambda: it could be cut only between blocks, and an
exported file would open only with KerasHub installed.
"""

from typing import Any

import keras
from keras import layers, ops
from keras.src.applications.convnext import LayerScale

from tlsearch.config.networks.convolutions import MSFA_SIDE, MobileBlock, MobileNetV5
from tlsearch.training.network.hub.transformer import attend, by_head

EPSILON = 1e-6


def mobilenet_v5(spec: MobileNetV5, image_px: int) -> keras.Model:
    """Build a network from pixels in 0 to 1 (n, px, px, 3) to feature maps (n, 16, 16, width) after
    the last norm.
    """
    pixels = keras.Input((image_px, image_px, 3))
    x = _gelu(_normalise(layers.Conv2D(spec.stem, 3, 2, "same", name="stem")(pixels), "stem"))
    ends = []
    for stage, blocks in enumerate(spec.stages):
        for place, block in enumerate(blocks):
            x = _block(x, block, f"stage_{stage}_block_{place}")
        ends.append(x)
    x = _norm("norm")(_fuse(ends[-2], ends[-1], spec.width))
    return keras.Model(pixels, x, name="mobilenet_v5")


def _block(given: Any, block: MobileBlock, name: str) -> Any:
    """Apply one block, with a residual connection if the shape stays the same."""
    if block.kind == "attention":
        x = _attention(given, block, name)
    else:
        x = _expand(given, block, name)
        x = _normalise(layers.Conv2D(block.width, 1, name=f"{name}_project")(x), f"{name}_project")
    if block.kind != "edge":
        x = LayerScale(1.0, block.width, name=f"{name}_scale")(x)
    return x + given if block.residual(given.shape[-1]) else x


def _expand(x: Any, block: MobileBlock, name: str) -> Any:
    """Apply the convolutions of a block before its projection."""
    wide = x.shape[-1] * block.expansion
    if block.kind == "edge":
        expand = layers.Conv2D(wide, block.kernel, block.stride, "same", name=f"{name}_expand")
        return _gelu(_normalise(expand(x), f"{name}_expand"))
    if block.start:
        stride = 1 if block.kernel else block.stride
        x = _normalise(_depthwise(block.start, stride, f"{name}_start")(x), f"{name}_start")
    x = _gelu(_normalise(layers.Conv2D(wide, 1, name=f"{name}_expand")(x), f"{name}_expand"))
    if block.kernel:
        middle = _depthwise(block.kernel, block.stride, f"{name}_middle")
        x = _gelu(_normalise(middle(x), f"{name}_middle"))
    return x


def _attention(given: Any, block: MobileBlock, name: str) -> Any:
    """Apply attention between the places of maps, whose heads share keys and values; the shape
    stays the same.
    """
    x = _norm(f"{name}_norm")(given)
    side = x.shape[1]
    query = _project(x, block.heads * block.key, f"{name}_query")
    query = by_head(ops.reshape(query, (-1, side * side, block.heads * block.key)), block.heads)
    key, value = (_shared_key_or_value(x, block, f"{name}_{part}") for part in ("key", "value"))
    mixed = ops.reshape(attend(query, key, value), (-1, side, side, block.heads * block.key))
    return _project(mixed, block.width, f"{name}_output")


def _shared_key_or_value(x: Any, block: MobileBlock, name: str) -> Any:
    """Return the key or value of each place, (n, 1, places, numbers)."""
    if block.stride > 1:
        x = _normalise(
            _depthwise(3, block.stride, f"{name}_reduce", bias=False)(x), f"{name}_reduce"
        )
    x = _project(x, block.key, name)
    return ops.reshape(x, (-1, 1, x.shape[1] * x.shape[2], block.key))


def _fuse(large: Any, small: Any, width: int) -> Any:
    """Join maps of the last two stages into one of `MSFA_SIDE` places along an edge."""
    small = layers.UpSampling2D(2, name="fusion_enlarge")(small)
    x = ops.concatenate([large, small], axis=-1)
    expand = layers.Conv2D(2 * x.shape[-1], 1, name="fusion_expand")
    x = _gelu(_normalise(expand(x), "fusion_expand"))
    x = _normalise(layers.Conv2D(width, 1, name="fusion_project")(x), "fusion_project")
    return _fusion_resize(x.shape[1])(x)


def _fusion_resize(side: int) -> Any:
    if side % MSFA_SIDE == 0:
        return layers.AveragePooling2D(side // MSFA_SIDE, name="fusion_resize")
    return layers.Resizing(MSFA_SIDE, MSFA_SIDE, name="fusion_resize")


def _depthwise(size: int, stride: int, name: str, bias: bool = True) -> Any:
    return layers.DepthwiseConv2D(size, stride, "same", use_bias=bias, name=name)


def _project(x: Any, width: int, name: str) -> Any:
    return layers.Conv2D(width, 1, use_bias=False, name=name)(x)


def _normalise(x: Any, name: str) -> Any:
    return _norm(f"{name}_norm")(x)


def _norm(name: str) -> Any:
    return layers.RMSNormalization(epsilon=EPSILON, name=name)


def _gelu(x: Any) -> Any:
    """Apply the approximation that Gemma 3n was trained with; KerasHub computes the exact one."""
    return ops.gelu(x, approximate=True)

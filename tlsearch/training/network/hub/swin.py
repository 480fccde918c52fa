"""A Swin transformer in plain Keras layers, block by block."""

from typing import Any

import keras
import numpy as np
from keras import layers, ops
from numpy.typing import NDArray

from tlsearch.config.networks.transformers import SwinTransformer
from tlsearch.training.network.hub.transformer import (
    attend,
    by_head,
    patch_maps,
    small_initializer,
    swap_axes,
    token_positions,
)

APART = -100.0  # attention bias between places of a window that are not neighbours in the image


def swin_transformer(spec: SwinTransformer, image_px: int) -> keras.Model:
    """Build a network from normalised pixels (n, px, px, 3) to tokens (n, places, width) after the
    last norm.
    """
    pixels = keras.Input((image_px, image_px, 3))
    x = _norm(spec, "patches_norm")(patch_maps(pixels, spec.width, spec.patch))
    for stage, depth in enumerate(spec.depths):
        for block in range(depth):
            shift = 0 if block % 2 == 0 or x.shape[1] <= spec.window else spec.window // 2
            x = _block(x, spec, spec.heads[stage], shift, f"stage_{stage}_block_{block}")
        if stage < len(spec.depths) - 1:
            x = _merge_patches(x, spec, f"stage_{stage}_merge")
    x = ops.reshape(_norm(spec, "norm")(x), (-1, x.shape[1] * x.shape[2], x.shape[3]))
    return keras.Model(pixels, x, name="swin_transformer")


def _block(x: Any, spec: SwinTransformer, heads: int, shift: int, name: str) -> Any:
    """Apply attention within windows, then two dense layers at each place, each with a residual
    connection.
    """
    width = x.shape[-1]
    x = x + _attention(_norm(spec, f"{name}_norm_1")(x), spec, heads, shift, name)
    wide = _dense(4 * width, f"{name}_dense_1")(_norm(spec, f"{name}_norm_2")(x))
    return x + _dense(width, f"{name}_dense_2")(ops.gelu(wide, approximate=False))


def _attention(x: Any, spec: SwinTransformer, heads: int, shift: int, name: str) -> Any:
    """Apply attention within windows to maps (n, side, side, width); the shape stays the same."""
    side, width, window = x.shape[1], x.shape[3], spec.window
    padded = -(-side // window) * window
    if padded > side:
        x = ops.pad(x, [[0, 0], [0, padded - side], [0, padded - side], [0, 0]])
    if shift:
        x = _shift(x, shift)
    windows = _in_windows(x, window)
    bias = _position_bias(windows, window, heads, f"{name}_positions")
    if shift:
        bias = bias + _apart(padded, window, shift)
    query, key, value = (
        by_head(_dense(width, f"{name}_{part}")(windows), heads)
        for part in ("query", "key", "value")
    )
    mixed = _dense(width, f"{name}_output")(attend(query, key, value, bias))
    x = _from_windows(mixed, padded, window)
    if shift:
        x = _shift(x, padded - shift)
    return x[:, :side, :side] if padded > side else x


def _shift(x: Any, shift: int) -> Any:
    """Roll maps so that their first rows and columns come last; LiteRT has no roll operation."""
    x = ops.concatenate([x[:, shift:], x[:, :shift]], axis=1)
    return ops.concatenate([x[:, :, shift:], x[:, :, :shift]], axis=2)


def _in_windows(x: Any, window: int) -> Any:
    """Split maps into windows: (n, side, side, width) -> (n, windows, places, width)."""
    _, side, _, width = x.shape
    count = side // window
    rows = swap_axes(ops.reshape(x, (-1, count, window, count, window * width)), 2, 3)
    return ops.reshape(rows, (-1, count * count, window * window, width))


def _from_windows(x: Any, side: int, window: int) -> Any:
    """Undo `_in_windows`."""
    width, count = x.shape[-1], side // window
    rows = swap_axes(ops.reshape(x, (-1, count, count, window, window * width)), 2, 3)
    return ops.reshape(rows, (-1, side, side, width))


def _position_bias(windows: Any, window: int, heads: int, name: str) -> Any:
    """Return the learned attention bias by the offset between two places of a window, (1, 1, heads,
    places, places).
    """
    table = layers.Embedding(
        (2 * window - 1) ** 2, heads, embeddings_initializer=small_initializer(), name=name
    )
    apart = ops.zeros_like(token_positions(windows[:1, 0])[:, :1]) + _offsets(window).reshape(1, -1)
    square = ops.reshape(table(apart), (1, 1, window**2, window**2, heads))
    return ops.transpose(square, (0, 1, 4, 2, 3))


def _offsets(window: int) -> Any:
    """Return the row of the bias table for each pair of places in a window, (places, places)."""
    steps = np.indices((window, window)).reshape(2, -1)
    down, right = steps[:, :, None] - steps[:, None, :] + window - 1
    return (down * (2 * window - 1) + right).astype(np.int32)


def _apart(side: int, window: int, shift: int) -> NDArray[Any]:
    """Return `APART` for pairs of places in a window that only the shift brought together, 0 for
    others, (windows, 1, places, places): the last windows of a shifted map contain parts of the
    opposite edge.
    """
    part = np.digitize(np.arange(side), (side - window, side - shift))
    parts = part[:, None] * 3 + part[None, :]
    count = side // window
    windows = parts.reshape(count, window, count, window).swapaxes(1, 2).reshape(-1, window**2)
    differ = windows[:, :, None] != windows[:, None, :]
    return np.where(differ, APART, 0.0).astype(np.float32)[:, None]


def _merge_patches(x: Any, spec: SwinTransformer, name: str) -> Any:
    """Merge 2 x 2 places into one with twice the channels; the four are concatenated column by
    column.
    """
    width = x.shape[-1]
    four = [x[:, down::2, right::2] for right in (0, 1) for down in (0, 1)]
    together = _norm(spec, f"{name}_norm")(ops.concatenate(four, axis=-1))
    return layers.Dense(
        2 * width, use_bias=False, kernel_initializer=small_initializer(), name=f"{name}_dense"
    )(together)


def _norm(spec: SwinTransformer, name: str) -> Any:
    return layers.LayerNormalization(epsilon=spec.epsilon, name=name)


def _dense(width: int, name: str) -> Any:
    return layers.Dense(width, kernel_initializer=small_initializer(), name=name)

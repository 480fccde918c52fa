"""A vision transformer in plain Keras layers, block by block, so that it can be cut and exported.

KerasHub's encoder is a single custom layer: it could not be cut, and an exported file would open
only with KerasHub installed.
"""

import math
from typing import Any

import keras
import numpy as np
from keras import layers, ops
from keras.src.applications.convnext import LayerScale
from numpy.typing import NDArray

from tlsearch.config.networks.transformers import VisionTransformer

ROPE_BASE = 100.0  # as in DINOv3


def vision_transformer(spec: VisionTransformer, image_px: int) -> keras.Model:
    """Build a network from normalised pixels (n, px, px, 3) to tokens (n, tokens, width) after the
    last norm.
    """
    pixels = keras.Input((image_px, image_px, 3))
    x = _with_front(_patches(pixels, spec, image_px), spec, image_px)
    for block in range(spec.depth):
        x = _block(x, spec, image_px, f"block_{block}")
    return keras.Model(pixels, _norm(spec, "norm")(x), name="vision_transformer")


def _patches(pixels: Any, spec: VisionTransformer, image_px: int) -> Any:
    """Return the patch tokens, (n, patches, width)."""
    maps = patch_maps(pixels, spec.width, spec.patch)
    return ops.reshape(maps, (-1, spec.side(image_px) ** 2, spec.width))


def patch_maps(pixels: Any, width: int, patch: int) -> Any:
    """Embed squares of `patch` pixels: (n, px, px, 3) -> (n, px / patch, px / patch, width)."""
    return layers.Conv2D(
        width, patch, strides=patch, kernel_initializer=small_initializer(), name="patches"
    )(pixels)


def _with_front(patches: Any, spec: VisionTransformer, image_px: int) -> Any:
    """Put class tokens and registers in front of the patches and add learned positions, if there
    are any.

    One table holds the vector added at each place; in front it is added to zeros.
    """
    tokens = layers.ZeroPadding1D((spec.leading_tokens, 0), name="front")(patches)
    if spec.grid is not None:
        table = layers.Embedding(
            spec.tokens(image_px),
            spec.width,
            embeddings_initializer=small_initializer(),
            name="positions",
        )
        return tokens + table(token_positions(tokens))
    table = layers.Embedding(
        spec.leading_tokens,
        spec.width,
        embeddings_initializer=small_initializer(),
        name="positions",
    )
    padded = ops.pad(
        table(token_positions(tokens[:, : spec.leading_tokens])),
        [[0, 0], [0, patches.shape[1]], [0, 0]],
    )
    return tokens + padded


def token_positions(tokens: Any) -> Any:
    """Return the position of each token, (1, tokens), which is the same for all images."""
    return ops.cumsum(ops.ones_like(tokens[:1, :, 0], dtype="int32"), axis=1) - 1


def _block(x: Any, spec: VisionTransformer, image_px: int, name: str) -> Any:
    """Apply attention between tokens, then two dense layers to each token, each with a residual
    connection.
    """
    attended = _attention(_norm(spec, f"{name}_norm_1")(x), spec, image_px, name)
    x = x + _scale(attended, spec, f"{name}_scale_1")
    wide = _widen(_norm(spec, f"{name}_norm_2")(x), spec, name)
    dense = layers.Dense(
        spec.width, kernel_initializer=small_initializer(), name=f"{name}_dense_2"
    )(wide)
    return x + _scale(dense, spec, f"{name}_scale_2")


def _widen(x: Any, spec: VisionTransformer, name: str) -> Any:
    """Return the hidden values of a block, (n, tokens, hidden), after GELU or times their gate."""
    dense = layers.Dense(
        spec.hidden, kernel_initializer=small_initializer(), name=f"{name}_dense_1"
    )
    if not spec.gated:
        return ops.gelu(dense(x), approximate=spec.gelu == "tanh")
    gate = layers.Dense(spec.hidden, kernel_initializer=small_initializer(), name=f"{name}_gate")(x)
    return ops.silu(gate) * dense(x)


def _attention(x: Any, spec: VisionTransformer, image_px: int, name: str) -> Any:
    query, key, value = (
        by_head(
            layers.Dense(
                spec.width,
                use_bias=part != "key" or spec.key_bias,
                kernel_initializer=small_initializer(),
                name=f"{name}_{part}",
            )(x),
            spec.heads,
        )
        for part in ("query", "key", "value")
    )
    if spec.grid is None:
        cos, sin = rotations(spec, image_px)
        query, key = _rotate(query, cos, sin), _rotate(key, cos, sin)
    return layers.Dense(spec.width, kernel_initializer=small_initializer(), name=f"{name}_output")(
        attend(query, key, value)
    )


def by_head(x: Any, heads: int) -> Any:
    """Split width by heads: (n, ..., tokens, width) -> (n, ..., heads, tokens, width / heads)."""
    *before, width = x.shape[1:]
    return swap_axes(ops.reshape(x, (-1, *before, heads, width // heads)), -3, -2)


def attend(query: Any, key: Any, value: Any, bias: Any = None) -> Any:
    """Apply softmax attention: inputs (n, ..., heads, tokens, width / heads) -> (n, ..., tokens,
    width).

    `bias` is added to the logits, the scaled products of queries and keys.
    """
    *before, heads, tokens, width = query.shape[1:]
    alike = ops.matmul(query / math.sqrt(width), swap_axes(key, -2, -1))
    weights = ops.softmax(alike if bias is None else alike + bias)
    mixed = swap_axes(ops.matmul(weights, value), -3, -2)
    return ops.reshape(mixed, (-1, *before, tokens, heads * width))


def swap_axes(x: Any, one: int, other: int) -> Any:
    """Swap two axes."""
    axes = list(range(len(x.shape)))
    axes[one], axes[other] = axes[other], axes[one]
    return ops.transpose(x, axes)


def rotations(spec: VisionTransformer, image_px: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the cosines and sines of the rotary position embedding, (tokens, width / heads), by
    which each token's queries and keys are rotated; front tokens are not rotated.

    A quarter of the angles comes from the row of a patch and a quarter from its column, both from
    -1 to 1 over the image, with falling frequencies; this half is then repeated (arXiv 2508.10104).
    """
    side, quarter = spec.side(image_px), spec.width // spec.heads // 4
    centres = 2 * (np.arange(side) + 0.5) / side - 1
    frequencies = ROPE_BASE ** -(np.arange(quarter) / quarter)
    grid = np.stack(np.meshgrid(centres, centres, indexing="ij"), axis=-1).reshape(-1, 2, 1)
    angles = np.tile((2 * np.pi * grid * frequencies).reshape(side * side, -1), (1, 2))
    angles = np.concatenate([np.zeros((spec.leading_tokens, angles.shape[1])), angles])
    return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)


def _rotate(x: Any, cos: Any, sin: Any) -> Any:
    half = x.shape[-1] // 2
    turned = ops.concatenate([-x[..., half:], x[..., :half]], axis=-1)
    return x * cos + turned * sin


def _norm(spec: VisionTransformer, name: str) -> Any:
    return layers.LayerNormalization(epsilon=spec.epsilon, name=name)


def _scale(x: Any, spec: VisionTransformer, name: str) -> Any:
    return LayerScale(1.0, spec.width, name=name)(x) if spec.layer_scale else x


def small_initializer() -> Any:
    """Return the initializer of weights that are not loaded."""
    return keras.initializers.TruncatedNormal(stddev=0.02)

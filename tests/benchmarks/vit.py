"""A vision transformer as a row of the catalogue, which only benchmarks can name.

It has the shape of ViT-S/16, but no class token.
"""

from dataclasses import replace
from typing import Any

import keras

from tlsearch.config.catalog import BACKBONES

PATCH, WIDTH, HEADS, BLOCKS = 16, 384, 6, 12
EPSILON = 1e-6
NAME = "vit_s"


def add_to_catalogue() -> None:
    """Let trials of this process name the network; fields not set here are those of MobileNetV2."""
    row = BACKBONES["mobilenet_v2"]
    BACKBONES[NAME] = replace(
        row,
        name=NAME,
        build="vit:vit_s",
        layers=90,
        anatomy=replace(row.anatomy, words=f"OWOW wwOwwwO*{BLOCKS - 1} wwOwwwOWO"),
        multiply_adds=4_573_937_664,
        parameters=21_664_896,
    )


def vit_s(include_top: bool, weights: None, input_shape: tuple[int, int, int]) -> keras.Model:
    """Build the network like those of `keras.applications`: pictures -> (rows, columns, WIDTH)."""
    assert not include_top
    assert weights is None
    images = keras.Input(input_shape)
    x = keras.layers.Conv2D(WIDTH, PATCH, strides=PATCH, name="patches")(images)
    rows, columns = x.shape[1:3]
    x = keras.layers.Reshape((rows * columns, WIDTH), name="tokens")(x)
    x = Positions(name="positions")(x)
    for number in range(BLOCKS):
        x = _block(x, f"block_{number}")
    x = keras.layers.LayerNormalization(epsilon=EPSILON, name="norm")(x)
    maps = keras.layers.Reshape((rows, columns, WIDTH), name="maps")(x)
    return keras.Model(images, maps, name=NAME)


class Positions(keras.layers.Layer):
    """Adds a learned vector to each position."""

    def build(self, shape: tuple[int, ...]) -> None:
        self.places = self.add_weight(shape=shape[1:], name="places", initializer="random_normal")

    def call(self, x: Any) -> Any:
        return x + self.places


def _block(x: Any, name: str) -> Any:
    layers = keras.layers
    y = layers.LayerNormalization(epsilon=EPSILON, name=f"{name}_norm_1")(x)
    attention = layers.MultiHeadAttention(HEADS, WIDTH // HEADS, name=f"{name}_attention")
    x = layers.Add(name=f"{name}_add_1")([x, attention(y, y)])
    y = layers.LayerNormalization(epsilon=EPSILON, name=f"{name}_norm_2")(x)
    y = layers.Dense(4 * WIDTH, activation="gelu", name=f"{name}_wide")(y)
    y = layers.Dense(WIDTH, name=f"{name}_narrow")(y)
    return layers.Add(name=f"{name}_add_2")([x, y])

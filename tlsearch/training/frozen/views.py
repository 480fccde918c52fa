"""Training images as an augmented view shows them: a function of (seed, view, image)."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tlsearch.config.augmentation import Augment
from tlsearch.training.epoch.loop import Array, rows_per_step
from tlsearch.training.seeds import derive

DRAWN = 1  # to be raised where other pixels come of the same seed: features are kept under it

Matrices = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class View:
    """One view of some images, made as they are asked for; (n, height, width, 3) uint8.

    The same view of the same image is the same pixels, whatever batch it comes in.
    """

    images: Array
    augment: Augment
    seed: int
    number: int

    @property
    def shape(self) -> tuple[int, ...]:
        """As of the images."""
        return self.images.shape

    @property
    def dtype(self) -> Any:
        """As of the images."""
        return self.images.dtype

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, which: Any) -> NDArray[Any]:
        drawn = draw(self.augment, derive(self.seed, "view", self.number), len(self))
        changes = (
            transforms(drawn, self.shape[1], self.shape[2])[which],
            drawn["contrast"][which],
            drawn["brightness"][which],
        )
        rows, step = self.images[which], rows_per_step(self)
        parts = [
            _changed(rows[i : i + step], *(change[i : i + step] for change in changes))
            for i in range(0, max(1, len(rows)), step)  # as float32 all at once would be large
        ]
        return np.concatenate([np.asarray(part) for part in parts])


def draw(augment: Augment, seed: int, count: int) -> dict[str, NDArray[np.float32]]:
    """What happens to each of `count` images: one number of every kind, each (count,)."""
    rng = np.random.default_rng(seed)
    kinds = ("rotate", "zoom", "zoom_y", "shear", "translate", "translate_y", "contrast")
    uniform = {name: rng.uniform(-1, 1, count) for name in (*kinds, "brightness")}
    flips = {"horizontal": rng.random(count) < 0.5, "vertical": rng.random(count) < 0.5}
    size = {name: getattr(augment, name.removesuffix("_y")) for name in uniform}
    numbers = {name: (uniform[name] * size[name]).astype(np.float32) for name in uniform}
    for way, flipped in flips.items():
        wanted = augment.flip in (way, "both")
        numbers[way] = np.where(flipped & wanted, -1, 1).astype(np.float32)
    return numbers


def transforms(drawn: dict[str, NDArray[np.float32]], height: int, width: int) -> Matrices:
    """Projective transforms, (n, 8), from a pixel of the view to its source in the image."""
    turn, count = 2 * np.pi * drawn["rotate"], len(drawn["rotate"])
    a, b = np.cos(turn), -np.sin(turn) + drawn["shear"]
    c, d = np.sin(turn), np.cos(turn)
    across, down = 1 + drawn["zoom"], 1 + drawn["zoom_y"]
    a, b = a * across * drawn["horizontal"], b * down * drawn["horizontal"]
    c, d = c * across * drawn["vertical"], d * down * drawn["vertical"]
    middle_x, middle_y = (width - 1) / 2, (height - 1) / 2
    right = middle_x - a * middle_x - b * middle_y + drawn["translate"] * width
    below = middle_y - c * middle_x - d * middle_y + drawn["translate_y"] * height
    zero = np.zeros(count)
    return np.stack([a, b, right, c, d, below, zero, zero], axis=1).astype(np.float32)


@tf.function(
    input_signature=[
        tf.TensorSpec((None, None, None, 3), tf.uint8),
        tf.TensorSpec((None, 8), tf.float32),
        tf.TensorSpec((None,), tf.float32),
        tf.TensorSpec((None,), tf.float32),
    ],
    jit_compile=False,
)
def _changed(images: Any, matrices: Any, contrast: Any, brightness: Any) -> Any:
    moved = tf.raw_ops.ImageProjectiveTransformV3(
        images=tf.cast(images, tf.float32),
        transforms=matrices,
        output_shape=tf.shape(images)[1:3],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="REFLECT",
    )
    mean = tf.reduce_mean(moved, axis=(1, 2, 3), keepdims=True)
    factor = 1.0 + tf.reshape(contrast, (-1, 1, 1, 1))
    shift = 255.0 * tf.reshape(brightness, (-1, 1, 1, 1))
    return tf.cast(tf.clip_by_value((moved - mean) * factor + mean + shift + 0.5, 0, 255), tf.uint8)

"""Augmented views of the training images, each a function of (seed, view, image)."""

import functools
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow import Tensor

from tlsearch.base.array_types import Pixels
from tlsearch.config.augmentation import Augment
from tlsearch.config.device import CPU_PROFILE, DeviceProfile
from tlsearch.training.epoch.prediction import Array, Index, rows_per_step, tensor_of
from tlsearch.training.seeds import derive_seed

DRAWN = 1  # raise it if the same seed yields other pixels: it is part of the features' key

# In the order of the draws.
_UNIFORM = (
    "rotate",
    "zoom",
    "zoom_y",
    "shear",
    "translate",
    "translate_y",
    "contrast",
    "brightness",
)
_FLIPS = ("horizontal", "vertical")

Drawn = dict[str, NDArray[np.float32]]  # kind -> one number for each image
Matrices = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class View:
    """One augmented view of some images, computed by the device on access; (n, height, width, 3)
    uint8.

    The same image in the same view has the same pixels in every batch.
    """

    images: Array
    augment: Augment
    seed: int
    number: int
    device: DeviceProfile = CPU_PROFILE

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the images."""
        return self.images.shape

    @property
    def dtype(self) -> object:
        """The dtype of the images."""
        return self.images.dtype

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, which: Index) -> Pixels:
        return np.asarray(self.tensor(which))

    def tensor(self, which: Index) -> Tensor:
        """Return the selected images of the view as a tensor, which stays on the device until it is
        read.
        """
        drawn = self._drawn_for(which)
        changes = (
            transforms(drawn, self.shape[1], self.shape[2]),
            drawn["contrast"],
            drawn["brightness"],
        )
        rows, step = tensor_of(self.images, which), rows_per_step(self, self.device)
        parts = [
            _augment(rows[i : i + step], *(change[i : i + step] for change in changes))
            for i in range(0, max(1, len(rows)), step)  # as float32 all at once would be large
        ]
        return parts[0] if len(parts) == 1 else tf.concat(parts, 0)

    def _drawn_for(self, which: Index) -> Drawn:
        """Return the random numbers of the selected images. For a slice only its own are drawn; for
        other indices all images' numbers are drawn once and looked up.
        """
        if isinstance(which, slice):
            start, stop, step = which.indices(len(self))
            if step == 1:
                return draw(self.augment, self._draws, len(self), start, max(start, stop))
        return {name: numbers[which] for name, numbers in self._all_drawn.items()}

    @functools.cached_property
    def _all_drawn(self) -> Drawn:
        return draw(self.augment, self._draws, len(self))

    @property
    def _draws(self) -> int:
        """The seed of this view's draws."""
        return derive_seed(self.seed, "view", self.number)


def draw(augment: Augment, seed: int, count: int, start: int = 0, stop: int | None = None) -> Drawn:
    """Draw the augmentation of the images from `start` to `stop` out of `count`: one number per
    kind and image.

    The numbers equal those of a draw for all images, at a cost proportional to the requested rows:
    one generator yields the numbers kind after kind, one step per number, and can jump ahead.
    """
    rows = range(count)[start:stop]
    numbers: Drawn = {}
    for place, kind in enumerate(_UNIFORM):
        size = getattr(augment, kind.removesuffix("_y"))
        drawn = _at(seed, place * count + rows.start).uniform(-1, 1, len(rows))
        numbers[kind] = (drawn * size).astype(np.float32)
    for place, way in enumerate(_FLIPS, len(_UNIFORM)):
        flipped = _at(seed, place * count + rows.start).random(len(rows)) < 0.5
        wanted = augment.flip in (way, "both")
        numbers[way] = np.where(flipped & wanted, -1, 1).astype(np.float32)
    return numbers


def _at(seed: int, place: int) -> np.random.Generator:
    """Return NumPy's default generator with this seed, advanced by `place` numbers."""
    return np.random.Generator(np.random.PCG64(seed).advance(place))


def transforms(drawn: Drawn, height: int, width: int) -> Matrices:
    """Return projective transforms, (n, 8), from a pixel of the view to its source in the image."""
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
def _augment(images: Tensor, matrices: Tensor, contrast: Tensor, brightness: Tensor) -> Tensor:
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

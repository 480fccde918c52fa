"""Pretrain a small backbone on labelled images, as the shipped ones were."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from tlsearch.base.errors import ConfigError, DataError
from tlsearch.base.files import atomic_file
from tlsearch.training.network.model import BATCH_NORM_MOMENTUM

Images = NDArray[np.uint8]
Labels = NDArray[np.int32]

_SUFFIX = ".weights.h5"
_SHIFT = 1 / 12  # augmentation moves an image by at most this share of its width


@dataclass(frozen=True)
class PretrainEpoch:
    """The result of one epoch: its mean loss, and the accuracy on held-out images."""

    epoch: int  # 1, 2, ...
    loss: float
    accuracy: float


def pretrain(
    images: Images,
    labels: Labels,
    *,
    epochs: int,
    seed: int,
    out: Path,
    alpha: float = 0.35,
    batch_size: int = 128,
    learning_rate: float = 3e-3,
    mirror: bool = False,
) -> Iterator[PretrainEpoch]:
    """Train a MobileNetV2 classifier from scratch, yielding after each epoch; save its backbone.

    images: (n, px, px, 3) uint8, px >= 32; labels: (n,) from 0. `batch_size` shrinks to the number
    of training images; `mirror` says that an image and its mirror image have the same label. `out`
    (`*.weights.h5`) is written before the last report; closing the iterator earlier writes nothing.
    Raises DataError or ConfigError before the first epoch.
    """
    check_source(images, labels)
    _check_name(out)
    keras.utils.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    held_out, train = split_held_out(len(images), rng)
    batch_size = min(batch_size, len(train))
    backbone = build_backbone(images.shape[1], alpha)
    steps = epochs * (len(train) // batch_size)
    model = build_classifier(backbone, int(labels.max()) + 1, learning_rate, steps)
    for epoch in range(1, epochs + 1):
        losses = []
        for rows in shuffled_batches(train, batch_size, rng):
            batch = to_input(augment(images[rows], mirror, rng))
            losses.append(float(model.train_on_batch(batch, labels[rows])))
        accuracy = measure_accuracy(model, images[held_out], labels[held_out], batch_size)
        if epoch == epochs:
            save_whole(backbone, out)
        yield PretrainEpoch(epoch, float(np.mean(losses)), accuracy)


def check_source(images: Images, labels: Labels) -> None:
    """Raise DataError if the images or labels cannot be trained on."""
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3:
        found = f"{images.dtype} {images.shape}"
        raise DataError(f"source images: found {found}, expected uint8 (n, px, px, 3)")
    height, width = images.shape[1:3]
    if height != width or height < 32:
        raise DataError(
            f"source images: found {height} x {width} px, expected squares of at least 32 px"
        )
    if labels.shape != images.shape[:1]:
        raise DataError(f"source labels: found {labels.shape}, expected one for each image")
    classes = np.unique(labels)
    if len(classes) < 2 or classes[0] < 0:
        raise DataError(
            f"source labels: found {classes.tolist()}, expected two classes or more, from 0"
        )


def _check_name(out: Path) -> None:
    if not out.name.endswith(_SUFFIX):
        raise ConfigError([f"{out}: found no {_SUFFIX} at the end, which Keras asks for"])


def build_backbone(image_px: int, alpha: float) -> keras.Model:
    """Build an untrained MobileNetV2 whose BatchNorm statistics adapt within a short training."""
    backbone = keras.applications.MobileNetV2(
        input_shape=(image_px, image_px, 3), alpha=alpha, include_top=False, weights=None
    )
    for layer in backbone.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = BATCH_NORM_MOMENTUM
    return backbone


def build_classifier(
    backbone: keras.Model, classes: int, learning_rate: float, steps: int
) -> keras.Model:
    """Build and compile a linear classifier on the pooled output of the backbone.

    The learning rate rises over the first twentieth of the steps, then falls along a cosine.
    """
    pooled = keras.layers.GlobalAveragePooling2D()(backbone.output)
    logits = keras.layers.Dense(classes, dtype="float32")(pooled)
    model = keras.Model(backbone.input, logits)
    warm_up = steps // 20
    rate = keras.optimizers.schedules.CosineDecay(
        learning_rate / 10, steps - warm_up, warmup_target=learning_rate, warmup_steps=warm_up
    )
    model.compile(
        keras.optimizers.AdamW(rate, weight_decay=0.02),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=False,  # XLA is several times slower on CPUs
    )
    return model


def split_held_out(
    images: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the held-out rows (a twentieth, at least one, at most 2,000) and the training rows."""
    order = rng.permutation(images)
    held_out = min(max(images // 20, 1), 2000)
    return order[:held_out], order[held_out:]


def shuffled_batches(
    rows: NDArray[np.int64], batch_size: int, rng: np.random.Generator
) -> Iterator[NDArray[np.int64]]:
    """Yield full batches in a new order; the few remaining rows are skipped in this epoch."""
    order = rng.permutation(rows)
    for start in range(0, len(order) - batch_size + 1, batch_size):
        yield order[start : start + batch_size]


def augment(batch: Images, mirror: bool, rng: np.random.Generator) -> Images:
    """Shift each image a little, padding with its edge pixels; with `mirror`, flip about half of
    them.
    """
    n, px = batch.shape[:2]
    pad = round(px * _SHIFT)
    padded = np.pad(batch, ((0, 0), (pad, pad), (pad, pad), (0, 0)), mode="edge")
    shifted = np.empty_like(batch)
    for i, (top, left) in enumerate(rng.integers(0, 2 * pad + 1, (n, 2))):
        shifted[i] = padded[i, top : top + px, left : left + px]
    if mirror:
        flipped = rng.random(n) < 0.5
        shifted[flipped] = shifted[flipped, :, ::-1]
    return shifted


def to_input(images: Images) -> NDArray[np.float32]:
    """Preprocess images as MobileNetV2 expects them: 0..255 to -1..1."""
    return images.astype(np.float32) / np.float32(127.5) - np.float32(1)


def measure_accuracy(model: keras.Model, images: Images, labels: Labels, batch_size: int) -> float:
    """Return the share of images whose largest logit belongs to their label."""
    right = 0
    for start in range(0, len(images), batch_size):
        rows = slice(start, start + batch_size)
        logits = np.asarray(model.predict_on_batch(to_input(images[rows])))
        right += int((logits.argmax(axis=1) == labels[rows]).sum())
    return right / len(images)


def save_whole(backbone: keras.Model, out: Path) -> None:
    """Write the weights to `out` atomically."""
    with tempfile.TemporaryDirectory() as folder:
        saved = Path(folder) / out.name
        backbone.save_weights(saved)
        with atomic_file(out, follow=True) as file:
            file.write(saved.read_bytes())

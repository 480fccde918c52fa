"""Networks with random weights that separate the images, and the outputs of their exports."""

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from keras.layers import BatchNormalization
from numpy.typing import NDArray

from tlsearch.bundle import runtimes
from tlsearch.bundle.open_bundle import OpenModel
from tlsearch.config.catalog import BACKBONES, EXPORT_FORMATS
from tlsearch.config.networks.lookup import row_of
from tlsearch.config.networks.row import Backbone
from tlsearch.config.trial_config import TrialConfig
from tlsearch.training.epoch.executor import shared_executor
from tlsearch.training.export.formats import Exportable, write_format
from tlsearch.training.network.model import Network

Pixels = NDArray[np.uint8]
Probabilities = NDArray[np.float32]

LABELS = ("a", "b", "c")
PICTURES = 12


def smallest(rows: Iterable[Backbone], kind: Callable[[Backbone], str]) -> list[str]:
    """Return the smallest network of each kind."""
    ordered = sorted(rows, key=lambda row: -row.parameters)
    return [row.name for row in reversed({kind(row): row for row in ordered}.values())]


FAMILIES = smallest(BACKBONES.values(), lambda row: row.reference or row.family)


@dataclass(frozen=True, eq=False)
class Subject:
    """A network with random weights that separates the images, and its expected outputs."""

    model: Exportable
    pictures: Pixels
    expected: Probabilities


@functools.lru_cache(maxsize=1)
def subject(name: str) -> Subject:
    """Build the network for the smallest image size that it supports."""
    row = row_of(name)
    trial = TrialConfig(backbone=name, weights="none", image_px=max(32, row.min_px), head_lr=1e-3)
    network = shared_executor().network(trial, len(LABELS))
    pictures = shades(trial.image_px)
    spread(network, pictures)
    model = Exportable(network, trial, LABELS, pictures)
    return Subject(model, pictures, np.asarray(model.square(pictures.astype(np.float32))))


def shades(image_px: int) -> Pixels:
    """Return noise around random colours, a different one per image, (n, px, px, 3) uint8."""
    rng = np.random.default_rng(0)
    colours = rng.uniform(0, 255, (PICTURES, 1, 1, 3))
    noise = rng.normal(0, 30, (PICTURES, image_px, image_px, 3))
    return (colours + noise).clip(0, 255).astype(np.uint8)


def spread(network: Network, pictures: Pixels) -> None:
    """Make random weights separate the images.

    BatchNorm learns its statistics from them, and the head follows the directions in which their
    features differ most.
    """
    shown = network.backbone.preprocess(pictures.astype(np.float32))
    layers = [x for x in network.backbone.model.layers if isinstance(x, BatchNormalization)]
    network.backbone.allow_changes(layers)  # restored for the next trial in this process
    for layer in layers:
        layer.trainable, layer.momentum = True, 0.0
    network.backbone.model(shown, training=True)
    for layer in layers:
        layer.trainable = False
    features = np.asarray(network.sections.pool(shown))
    mean = features.mean(axis=0)
    axes = np.linalg.svd(features - mean)[2][:2]
    scale = 1 / ((features - mean) @ axes.T).std(axis=0)
    kernel = (axes.T * scale) @ np.array([[1, 0, -1], [0.5, -1, 0.5]])
    network.head.model.get_layer("logits").set_weights([kernel, -mean @ kernel])


def written(name: str, form: str, folder: Path) -> tuple[Probabilities, Probabilities]:
    """Return the outputs of a network's file in one format, and the expected outputs."""
    row, one = EXPORT_FORMATS[form], subject(name)
    path = folder / row.file
    write_format(form, one.model, path)
    model = OpenModel(LABELS, row, one.pictures.shape[1], runtimes.load(path, row))
    return model(list(one.pictures)), one.expected

"""Kinds of networks in the formats of the catalogue: written, loaded, compared with themselves.

All families in all formats take minutes: `tests/benchmarks/exports.py` writes them. Here is the
smallest network of every kind of preprocessing, and one whose layers inside hold numbers of their
own: the smallest of them in all formats, the others in ONNX. `test_exporter.py` has a MobileNet,
trained, in all formats.
"""

import functools
from dataclasses import dataclass

import numpy as np
import pytest
from keras.layers import BatchNormalization

from tlsearch.base.files import disk_error
from tlsearch.bundle import runtimes
from tlsearch.bundle.open_bundle import OpenModel
from tlsearch.bundle.self_contained import require_self_contained
from tlsearch.config.catalog import BACKBONES, EXPORT_FORMATS
from tlsearch.config.networks.lookup import row_of
from tlsearch.config.trial_config import TrialConfig
from tlsearch.training.epoch.executor import shared_executor
from tlsearch.training.export.formats import WRITERS, Exportable, write

pytestmark = pytest.mark.training

LABELS = ("a", "b", "c")
PICTURES = 12


def smallest(rows, kind):
    """The smallest network of each kind."""
    rows = sorted(rows, key=lambda row: -row.parameters)
    return [row.name for row in reversed({kind(row): row for row in rows}.values())]


MAPS = [row for row in BACKBONES.values() if row.tokens is None]
FAMILIES = smallest(BACKBONES.values(), lambda row: row.reference or row.family)
KINDS = [*smallest(MAPS, lambda row: row.preprocess), "efficientnet_b0"]
HERE = [
    (name, form) for name in KINDS for form in EXPORT_FORMATS if name == KINDS[0] or form == "onnx"
]


@dataclass(frozen=True, eq=False)
class Subject:
    """A network with random weights that tells pictures apart, and what it says of them."""

    model: Exportable
    pictures: np.ndarray
    expected: np.ndarray


@functools.lru_cache(maxsize=1)
def subject(name):
    """At the least size that the network can be built for."""
    row = row_of(name)
    trial = TrialConfig(backbone=name, weights="none", image_px=max(32, row.min_px), head_lr=1e-3)
    network = shared_executor().network(trial, len(LABELS))
    pictures = shades(trial.image_px)
    spread(network, pictures)
    model = Exportable(network, trial, LABELS, pictures)
    return Subject(model, pictures, np.asarray(model.square(pictures.astype(np.float32))))


def shades(image_px):
    """Noise around colours that differ from picture to picture, (n, px, px, 3) uint8."""
    rng = np.random.default_rng(0)
    colours = rng.uniform(0, 255, (PICTURES, 1, 1, 3))
    noise = rng.normal(0, 30, (PICTURES, image_px, image_px, 3))
    return (colours + noise).clip(0, 255).astype(np.uint8)


def spread(network, pictures):
    """Make random weights tell pictures apart: BatchNorm learns its statistics from them, and the
    head follows the directions in which their features differ most.
    """
    shown = network.backbone.preprocess(pictures.astype(np.float32))
    layers = [x for x in network.backbone.model.layers if isinstance(x, BatchNormalization)]
    network.backbone.lend(layers)  # the next trial of this process gets the network as it was
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


def written(name, form, folder):
    """What a network's file of one format says of its pictures, and what it should say."""
    row, one = EXPORT_FORMATS[form], subject(name)
    path = folder / row.file
    write(form, one.model, path)
    model = OpenModel(LABELS, row, one.pictures.shape[1], runtimes.load(path, row))
    return model(list(one.pictures)), one.expected


# A ViT's parts are those of all but Swin; DINOv3 turns queries and keys besides.
TRANSFORMERS = [
    *(
        (name, form)
        for name in ("DINOV2Backbone", "SwinTransformerBackbone")
        for form in EXPORT_FORMATS
    ),
    *(("DINOV3Backbone", form) for form in ("keras", "litert", "onnx")),
]


@pytest.mark.parametrize(("keras_hub", "form"), TRANSFORMERS)
def test_a_file_says_what_its_transformer_says(keras_hub, form, preset, tmp_path):
    says_the_same(preset(keras_hub), form, tmp_path)


@pytest.mark.parametrize(("name", "form"), HERE)
def test_a_file_says_what_its_network_says(name, form, tmp_path):
    says_the_same(name, form, tmp_path)


def says_the_same(name, form, folder):
    found, expected = written(name, form, folder)
    require_self_contained(folder / EXPORT_FORMATS[form].file, EXPORT_FORMATS[form])
    assert found.shape == expected.shape == (PICTURES, len(LABELS))
    assert expected.std(axis=0).min() > 0.1  # it tells the pictures apart
    agreement = (found.argmax(axis=1) == expected.argmax(axis=1)).mean()
    if EXPORT_FORMATS[form].tolerance is None:
        assert agreement >= 0.5  # a third by chance; a network of random weights bears little
    else:
        assert np.abs(found - expected).max() <= 1e-3  # which random weights amplify
        assert agreement == 1


@pytest.mark.parametrize(
    "error",
    [
        OSError("write failed, errno = 28, error message = 'No space left on device'"),
        RuntimeError("RESOURCE_EXHAUSTED: variables/variables.data: No space left on device"),
    ],
)
def test_a_full_disk_is_no_fault_of_the_format(error, tmp_path, monkeypatch):
    def full(model, path):
        raise error

    monkeypatch.setitem(WRITERS, "keras", full)
    with pytest.raises(OSError, match="No space left on device") as raised:
        write("keras", Exportable(None, None, LABELS, np.empty(0)), tmp_path / "model.keras")
    assert disk_error(raised.value) is not None
    assert raised.value.filename == str(tmp_path / "model.keras")

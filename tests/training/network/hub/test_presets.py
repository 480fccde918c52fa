"""Presets of every family: rows against the built networks, weights against those of KerasHub."""

import json
import re
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from tlsearch.base.errors import ConfigError, WeightsError
from tlsearch.bundle.self_contained import require_known_classes
from tlsearch.config.catalog import BACKBONES
from tlsearch.config.networks.lookup import row_of
from tlsearch.config.networks.unfreezing import Depth
from tlsearch.features import FeatureStore
from tlsearch.training.epoch.executor import Executor
from tlsearch.training.network.backbone import load_backbone, outline
from tlsearch.training.network.hub.positions import interpolate_positions, resampling_weights
from tlsearch.training.network.multiply_adds import forward_multiply_adds
from tlsearch.training.network.own_network import letters
from tlsearch.training.trial import train

pytestmark = pytest.mark.training

PRESETS = {row.family: row for row in reversed(BACKBONES.values()) if row.spec is not None}
FAMILIES = {
    **PRESETS,
    "gated dinov2": BACKBONES["dinov2_giant"],
    "gated dinov3": BACKBONES["dinov3_small_plus"],
}
CLASSES = (
    *("DINOV2Backbone", "DINOV3Backbone", "SigLIPVisionEncoder", "ViTBackbone", "DeiTBackbone"),
    *("SwinTransformerBackbone", "EfficientNetBackbone", "MobileNetV5Backbone"),
    *("DINOV2Backbone gated", "DINOV3Backbone gated"),
)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_row_tells_what_is_built(family):
    row = FAMILIES[family]
    model = outline(row, row.image_px)
    assert letters(model) == row.anatomy.letters
    assert forward_multiply_adds(model.layers) == row.multiply_adds
    assert model.count_params() == row.parameters
    require_known_classes(Path("model.keras"), keras.saving.serialize_keras_object(model))


@pytest.mark.parametrize("family", FAMILIES)
def test_blocks_begin_where_their_layers_are_named_so(family):
    row = FAMILIES[family]
    names = [layer.name for layer in outline(row, row.image_px).layers]
    begins = [row.layers - count for count in reversed(row.anatomy.block_layers[1:])]
    first = {}
    for place, name in enumerate(names):
        if found := re.match(r"((stage_\d+_)?block_\d+|block\d[a-z])_", name):
            first.setdefault(found[1], place)
    assert begins == list(first.values())


@pytest.mark.parametrize("keras_hub", CLASSES)
def test_a_frozen_prefix_and_the_blocks_behind_it_are_the_whole_network(keras_hub, preset):
    backbone = load_backbone(preset(keras_hub), "none", 64, "default")
    images = np.random.default_rng(0).normal(size=(2, 64, 64, 3)).astype(np.float32)
    whole = backbone.sections(Depth(0)).pool(images)
    for blocks in (1, 2, "all"):
        sections = backbone.sections(backbone.row.anatomy.depth(blocks))
        assert sections.from_images == (blocks == "all")
        joined = sections.suffix(sections.prefix(images))
        np.testing.assert_allclose(joined, whole, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("pooling", "of"),
    [
        ("cls", lambda x: x[:, 0]),
        ("mean", lambda x: x[:, 5:].mean(axis=1)),
        ("gap", lambda x: x[:, 5:].mean(axis=1)),
        ("cls_mean", lambda x: np.hstack([x[:, 0], x[:, 5:].mean(axis=1)])),
        ("default", lambda x: np.hstack([x[:, 0], x[:, 5:].mean(axis=1)])),
        ("gap_max", lambda x: np.hstack([x[:, 5:].mean(axis=1), x[:, 5:].max(axis=1)])),
        ("flatten", lambda x: x.reshape(len(x), -1)),
    ],
)
def test_registers_are_no_places_and_the_last_norm_is_before_the_vector(pooling, of, preset):
    backbone = load_backbone(preset("DINOV2Backbone"), "none", 32, pooling)
    images = np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype(np.float32)
    tokens = np.asarray(backbone.model(images))
    assert tokens.shape == (2, 1 + 4 + 2 * 2, 32)
    np.testing.assert_allclose(tokens.mean(axis=-1), 0, atol=1e-5)
    pooled = backbone.sections(Depth(0)).pool(images)
    np.testing.assert_allclose(pooled, of(tokens), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("keras_hub", "blocks"),
    [
        *(("DINOV2Backbone", 0), ("DINOV2Backbone gated", 1), ("ViTBackbone", 1)),
        *(("SigLIPVisionEncoder", 1), ("SwinTransformerBackbone", 1)),
        ("MobileNetV5Backbone", 1),
    ],
)
def test_a_cached_trial_is_the_uncached_one(keras_hub, blocks, preset, small_trial, digits, cache):
    name = preset(keras_hub)
    depth = row_of(name).anatomy.depth(blocks)
    trial = small_trial(depth.layers, backbone=name, weights="none", epochs=2)
    stores = (FeatureStore(cache, "float32"), FeatureStore(cache, "float32", budget_bytes=0))
    losses = [[r.train_loss for r in train(trial, digits, s, None, Executor())] for s in stores]
    np.testing.assert_allclose(*losses, atol=1e-3)


def test_positions_of_as_many_patches_are_as_they_were():
    table = np.random.default_rng(0).normal(size=(25, 3)).astype(np.float32)
    assert interpolate_positions(table, 5, antialias=False) is table


@pytest.mark.parametrize("after", [3, 8, 13, 16, 40])
@pytest.mark.parametrize("antialias", [False, True])
def test_interpolation_keeps_what_is_constant(after, antialias):
    np.testing.assert_allclose(resampling_weights(16, after, antialias).sum(axis=1), 1)


@pytest.mark.parametrize("after", [7, 16, 25])
def test_antialiased_positions_are_those_of_pillow(after):
    table = np.random.default_rng(0).normal(size=(16 * 16, 1)).astype(np.float32)
    picture = Image.fromarray(table.reshape(16, 16)).resize(
        (after, after), Image.Resampling.BICUBIC
    )
    found = interpolate_positions(table, after, antialias=True).reshape(after, after)
    np.testing.assert_allclose(found, np.asarray(picture), atol=1e-5)


def test_a_preset_folder_without_weights_says_what_to_do(preset):
    pytest.importorskip("keras_hub", reason="the extra hub is not installed")
    with pytest.raises(WeightsError, match=r"could not be loaded .*name the folder of the preset"):
        load_backbone(preset("ViTBackbone"), "preset", 32)


def test_weights_of_a_preset_need_the_extra(preset, monkeypatch):
    extra = "tlsearch.training.network.hub.preset_network.require_extra"
    losses = ConfigError(["backbone needs keras_hub; run `pip install 'keras-hub>=0.32,<0.33'`"])
    monkeypatch.setattr(extra, lambda what, extra: (_ for _ in ()).throw(losses))
    with pytest.raises(ConfigError, match="pip install"):
        load_backbone(preset("ViTBackbone"), "preset", 48)


@pytest.mark.parametrize("keras_hub", CLASSES)
def test_a_saved_preset_is_the_network_of_keras_hub(keras_hub, preset, tmp_path, monkeypatch):
    hub = pytest.importorskip("keras_hub", reason="the extra hub is not installed")
    if keras_hub == "MobileNetV5Backbone":  # its weights were trained with the approximate GELU
        gelu = keras.activations.gelu
        monkeypatch.setattr(keras.activations, "gelu", lambda x, approximate: gelu(x, True))
    config = row_of(preset(keras_hub))
    described = json.loads((Path(preset(keras_hub)) / "config.json").read_text())
    original = getattr(hub.models, keras_hub.partition(" ")[0])(**described["config"])
    randomise(original)
    original.save_to_preset(tmp_path / "saved")
    original = type(original).from_preset(str(tmp_path / "saved"))  # interpolates the positions
    px = config.image_px
    ours = load_backbone(str(tmp_path / "saved"), "preset", px, "default")
    assert (ours.row.spec, ours.row.image_px) == (config.spec, config.image_px)
    images = np.random.default_rng(0).normal(size=(2, px, px, 3)).astype(np.float32)
    last = original.post_layer_norm.output if keras_hub.startswith("SigLIP") else original.output
    theirs = keras.Model(original.inputs, last)(images)
    np.testing.assert_allclose(ours.model(images), theirs, atol=1e-4)


def randomise(network):
    """Assign weights that an identity would not have."""
    rng = np.random.default_rng(0)
    for variable in network.variables:
        if "float" in variable.dtype:
            ones = any(part in variable.path for part in ("gamma", "lambda", "variance"))
            values = rng.normal(float(ones), 0.2, variable.shape)
            variable.assign(np.abs(values) if "variance" in variable.path else values)

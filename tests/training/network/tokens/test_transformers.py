"""Transformers of every family: their rows against what is built, and their weights against
KerasHub's.
"""

import json
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
from tlsearch.training.network.cut import cut_points
from tlsearch.training.network.multiply_adds import forward_multiply_adds
from tlsearch.training.network.tokens.positions import interpolate_positions, resampling_weights
from tlsearch.training.trial import train

pytestmark = pytest.mark.training

FAMILIES = {row.family: row for row in reversed(BACKBONES.values()) if row.tokens is not None}
CLASSES = ("DINOV2Backbone", "DINOV3Backbone", "SigLIPVisionEncoder", "ViTBackbone", "DeiTBackbone",
           "SwinTransformerBackbone")  # fmt: skip


@pytest.mark.parametrize("family", FAMILIES)
def test_a_row_tells_what_is_built(family):
    row = FAMILIES[family]
    model = outline(row, row.image_px)
    cuts = {cut.index for cut in cut_points(model)}
    letters = ["w" if layer.trainable_variables else "o" for layer in model.layers]
    cut = "".join(letter.upper() if n in cuts else letter for n, letter in enumerate(letters))
    assert cut == row.anatomy.letters
    assert forward_multiply_adds(model.layers) == row.multiply_adds
    assert model.count_params() == row.parameters
    require_known_classes(Path("model.keras"), keras.saving.serialize_keras_object(model))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_block_begins_with_its_first_norm(family):
    row = FAMILIES[family]
    names = [layer.name for layer in outline(row, row.image_px).layers]
    begins = [names[-count] for count in row.anatomy.block_layers[1:]]
    assert len(begins) == row.anatomy.blocks
    assert all("block_" in name and name.endswith("_norm_1") for name in begins)


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


@pytest.mark.parametrize("blocks", [0, 1])
@pytest.mark.parametrize("keras_hub", ["DINOV2Backbone", "SwinTransformerBackbone"])
def test_a_cached_trial_is_the_uncached_one(keras_hub, blocks, preset, small_trial, digits, cache):
    name = preset(keras_hub)
    depth = row_of(name).anatomy.depth(blocks)
    trial = small_trial(depth.layers, backbone=name, weights="none", epochs=2)
    stores = (FeatureStore(cache, "float32"), FeatureStore(cache, "float32", budget_bytes=0))
    told = [[r.train_loss for r in train(trial, digits, s, None, Executor())] for s in stores]
    np.testing.assert_allclose(*told, atol=1e-3)


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
    extra = "tlsearch.training.network.tokens.preset_network.require_extra"
    told = ConfigError(["backbone needs keras_hub: pip install 'keras-hub>=0.32,<0.33'"])
    monkeypatch.setattr(extra, lambda what, extra: (_ for _ in ()).throw(told))
    with pytest.raises(ConfigError, match="pip install"):
        load_backbone(preset("ViTBackbone"), "preset", 48)


@pytest.mark.parametrize("keras_hub", CLASSES)
def test_a_saved_preset_is_the_network_of_keras_hub(keras_hub, preset, tmp_path):
    hub = pytest.importorskip("keras_hub", reason="the extra hub is not installed")
    config = row_of(preset(keras_hub))
    described = json.loads((Path(preset(keras_hub)) / "config.json").read_text())
    original = getattr(hub.models, keras_hub)(**described["config"])
    randomise(original)
    original.save_to_preset(tmp_path / "saved")
    px = config.image_px
    ours = load_backbone(str(tmp_path / "saved"), "preset", px, "default")
    assert (ours.row.tokens, ours.row.image_px) == (config.tokens, config.image_px)
    images = np.random.default_rng(0).normal(size=(2, px, px, 3)).astype(np.float32)
    last = original.post_layer_norm.output if keras_hub.startswith("SigLIP") else original.output
    theirs = keras.Model(original.inputs, last)(images)
    np.testing.assert_allclose(ours.model(images), theirs, atol=1e-4)


def randomise(network):
    """Give it weights that an identity would not have."""
    rng = np.random.default_rng(0)
    for variable in network.variables:
        if "float" in variable.dtype:
            ones = "gamma" in variable.path or "lambda" in variable.path
            variable.assign(rng.normal(float(ones), 0.2, variable.shape))

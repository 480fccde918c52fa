import importlib

import keras
import numpy as np
import pytest

from tlsearch.config.catalog import BACKBONES
from tlsearch.errors import WeightsError
from tlsearch.training.backbone import load_backbone, preprocessing
from tlsearch.training.cut import cut_points

pytestmark = pytest.mark.training

ROWS = list(BACKBONES.values())


@pytest.fixture(params=ROWS, ids=[row.name for row in ROWS])
def row(request):
    return request.param


@pytest.fixture
def backbone(row):
    return load_backbone(row.name, "none", max(row.min_px, 32))


def test_the_row_tells_the_number_of_layers(row, backbone):
    assert len(backbone.model.layers) == row.layers


def test_it_has_cut_points_from_input_to_output(row, backbone):
    cuts = cut_points(backbone.model)
    assert cuts[0].whole
    assert cuts[0].index == 0
    assert cuts[-1].index == row.layers - 1
    assert len(cuts) > 10


def test_our_preprocessing_is_that_of_keras(row):
    module, function = row.reference.split(":")
    reference = getattr(importlib.import_module(module), function)
    images = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3)).astype(np.float32)
    ours = preprocessing(row.preprocess, 8)(images)
    np.testing.assert_allclose(ours, reference(images.copy()), atol=1e-4)


def test_torch_preprocessing_is_that_of_keras():
    images = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3)).astype(np.float32)
    theirs = keras.applications.densenet.preprocess_input(images.copy())
    np.testing.assert_allclose(preprocessing("torch", 8)(images), theirs, atol=1e-4)


def test_reset_undoes_what_a_trial_did():
    backbone = load_backbone("mobilenet_v2_035", "none", 32)
    layer = backbone.model.layers[-3]
    layer.trainable = True
    layer.set_weights([np.zeros_like(w) for w in layer.get_weights()])
    backbone.reset()
    assert not backbone.model.trainable_variables
    for variable, value in zip(backbone.model.variables, backbone.pristine, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)


@pytest.mark.parametrize("name", [row.name for row in ROWS if row.shipped])
def test_shipped_weights_load_at_any_size(name):
    small, large = (load_backbone(name, "default", px) for px in (32, 64))
    assert small.digest == large.digest
    assert small.digest != load_backbone(name, "none", 32).digest


def test_a_missing_weight_file_is_named(tmp_path):
    with pytest.raises(WeightsError, match=r"nothing\.h5: no such weight file"):
        load_backbone("mobilenet_v2_035", str(tmp_path / "nothing.h5"), 32)


def test_a_weight_file_of_something_else_is_named(tmp_path):
    other = tmp_path / "other.weights.h5"
    keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).save_weights(other)
    with pytest.raises(WeightsError, match=r"other\.weights\.h5: does not hold weights of"):
        load_backbone("mobilenet_v2_035", str(other), 32)


def test_weights_that_cannot_be_downloaded_name_the_ways_on(monkeypatch, tmp_path):
    def no_network(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(keras.applications.mobilenet_v2, "MobileNetV2", no_network)
    load_backbone.cache_clear()
    with pytest.raises(WeightsError, match=r"no network.*KERAS_HOME, or use a shipped backbone"):
        load_backbone("mobilenet_v2_050", "imagenet", 32)

"""The identity of a pretrained network: its weights, its layers, and how they are connected."""

import hashlib
import re
import subprocess
import sys

import keras
import numpy as np
import pytest

from tlsearch.base.errors import WeightsError
from tlsearch.bundle.self_contained import KNOWN_CLASSES
from tlsearch.training.frozen.prefix import Features
from tlsearch.training.network.backbone import load_backbone
from tlsearch.training.network.identity import DECISIVE

pytestmark = pytest.mark.training


@pytest.fixture
def effnet_file(tmp_path):
    """Write weights that both of Keras' EfficientNetB0 can load; clear the cache of networks."""
    load_backbone.cache_clear()
    file = tmp_path / "b0.weights.h5"
    load_backbone("efficientnet_b0", "none", 32).model.save_weights(file)
    return file


@pytest.fixture
def official(effnet_file, monkeypatch):
    """Make Keras accept this file as the one that it publishes."""
    from keras.src.applications import efficientnet

    def register():
        load_backbone.cache_clear()
        md5 = hashlib.md5(effnet_file.read_bytes()).hexdigest()
        monkeypatch.setitem(efficientnet.WEIGHTS_HASHES, "b0", ("", md5))

    return register


def kinds(backbone):
    return [type(layer).__name__ for layer in backbone.model.layers]


def test_an_official_file_given_by_path_builds_the_official_network(effnet_file, official):
    plain = load_backbone("efficientnet_b0", str(effnet_file), 32)
    official()
    with_rescaling = load_backbone("efficientnet_b0", str(effnet_file), 32)
    assert kinds(plain)[1:4] == ["Rescaling", "Normalization", "ZeroPadding2D"]
    assert kinds(with_rescaling)[1:4] == ["Rescaling", "Normalization", "Rescaling"]
    for ours, theirs in zip(with_rescaling.model.weights, plain.model.weights, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


def test_networks_of_equal_weights_and_other_layers_share_no_features(
    effnet_file, official, small_trial, digits, store
):
    from tlsearch.training.epoch.executor import Executor

    trial = small_trial(backbone="efficientnet_b0", weights=str(effnet_file))

    def key():
        backbone = load_backbone("efficientnet_b0", str(effnet_file), 32)
        return Features(trial, backbone, digits, store, Executor()).key("pool", "train", None)

    plain = key()
    official()
    assert key().name != plain.name


@pytest.mark.filterwarnings("ignore:Skipping nested container")
def test_an_official_file_of_another_network_is_named(effnet_file, official):
    official()
    with pytest.raises(WeightsError, match=r"b0\.weights\.h5: does not hold weights of"):
        load_backbone("efficientnet_b1", str(effnet_file), 32)


def test_what_keras_downloads_with_is_what_it_was(effnet_file, official):
    from keras.src.utils import file_utils

    before = file_utils.get_file
    official()
    load_backbone("efficientnet_b0", str(effnet_file), 32)
    assert file_utils.get_file is before


DIGESTS = """
from tlsearch.training.network.backbone import load_backbone
for name in {names}:
    print(name, load_backbone(name, {weights!r}, 32).digest)
"""


def test_every_process_says_the_same_whatever_it_built_before(tmp_path):
    file = tmp_path / "v3.weights.h5"
    load_backbone("mobilenet_v3_small", "none", 32).model.save_weights(file)
    printed = set()
    for names in (["mobilenet_v3_small"], ["mobilenet_v3_small"] * 2):
        code = DIGESTS.format(names=names, weights=str(file))
        if len(names) > 1:
            code = f"import keras\nkeras.applications.MobileNetV3Small(weights=None)\n{code}"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        printed |= set(done.stdout.split("\n")) - {""}
    assert len(printed) == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda x: keras.layers.ReLU(6.0)(x),
        lambda x: keras.layers.ReLU(5.0)(x),
        lambda x: keras.layers.Activation("silu")(x),
        lambda x: x + 1.0,
        lambda x: x + 2.0,
        lambda x: keras.layers.Add()([x, x]),
        lambda x: keras.layers.Rescaling([1.0, 1.0, 2.0])(x),
    ],
)
def test_the_layers_their_settings_and_constants_tell_networks_apart(change):
    from tlsearch.training.network.identity import network_digest

    inputs = keras.Input((8, 8, 3))
    other = keras.Model(inputs, keras.layers.Rescaling(1.0)(inputs))
    assert network_digest(keras.Model(inputs, change(inputs))) != network_digest(other)


def test_seeds_names_and_the_size_of_images_do_not():
    from tlsearch.training.network.identity import network_digest

    def made(px, name, seed):
        inputs = keras.Input((px, px, 3), name=name)
        return keras.Model(inputs, keras.layers.Dropout(0.2, seed=seed)(inputs * 2.0))

    assert network_digest(made(8, "a", 1)) == network_digest(made(9, "b", 2))


# Settings of layers that do not change what a network computes once its weights are loaded.
_OF_NO_ACCOUNT = (
    r".*_(initializer|regularizer|constraint)|renorm.*|synchronized|momentum|name|trainable|dtype"
    r"|batch_shape|sparse|ragged|optional|seed|noise_shape|mean|variance|adaptation_.*"
    r"|quantization_config"
    r"|mask_zero"
    # The shapes of weights and their initial values.
    r"|units|(projection|input|output)_dim|init_values"
)
NEEDED = {
    **dict.fromkeys(("AveragePooling2D", "Dense", "DepthwiseConv2D"), (1,)),
    **dict.fromkeys(
        ("Conv2D", "Conv2DTranspose", "Embedding", "Resizing", "SeparableConv2D"), (2, 3)
    ),
    **dict.fromkeys(("Dropout", "SpatialDropout2D", "Rescaling"), (0,)),
    **dict.fromkeys(("InputLayer", "Permute", "Reshape"), ((1, 2, 3),)),
    "Activation": ("relu",),
}


@pytest.mark.parametrize("name", sorted(KNOWN_CLASSES["keras.layers"]))
def test_every_setting_of_a_layer_is_known_to_decide_or_not_to(name):
    found = getattr(keras.layers, name)(*NEEDED.get(name, ())).get_config()
    unknown = {one for one in found.keys() - DECISIVE if not re.fullmatch(_OF_NO_ACCOUNT, one)}
    assert not unknown, "add them to DECISIVE if they decide what a network computes"

import json

import pytest

from tlsearch.config.dataset import Data, Splits
from tlsearch.config.trial_config import TrialConfig
from tlsearch.data.sources import prepare
from tlsearch.features import FeatureStore


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


_VIT = {"hidden_dim": 32, "num_layers": 2, "num_heads": 2, "patch_size": 16}
_PX32 = {"image_shape": [32, 32, 3]}
# Settings of small networks of KerasHub, by its class.
CONFIGS = {
    "DINOV2Backbone": _VIT
    | {"intermediate_dim": 64, "num_register_tokens": 4, "antialias_in_interpolation": True}
    | {"image_shape": [64, 64, 3], "position_embedding_shape": [64, 64]},
    "DINOV3Backbone": _VIT
    | _PX32
    | {"intermediate_dim": 64, "num_register_tokens": 4, "use_key_bias": False},
    "SigLIPVisionEncoder": _VIT | _PX32 | {"intermediate_dim": 48},
    "ViTBackbone": _VIT | _PX32 | {"mlp_dim": 64},
    "DeiTBackbone": _VIT | _PX32 | {"intermediate_dim": 64},
    "SwinTransformerBackbone": _PX32
    | {"embed_dim": 16, "depths": [2, 2], "num_heads": [1, 2], "window_size": 4, "patch_size": 4},
}


@pytest.fixture(scope="session")
def preset(tmp_path_factory):
    """The folder of a preset without weights, by the class of KerasHub: a backbone's name."""
    folder = tmp_path_factory.mktemp("presets")

    def of(keras_hub):
        place = folder / keras_hub
        place.mkdir(exist_ok=True)
        config = {"class_name": keras_hub, "config": CONFIGS[keras_hub]}
        (place / "config.json").write_text(json.dumps(config))
        return str(place)

    return of


@pytest.fixture(scope="session")
def digits(cache):
    splits = Splits(train=60, validation=70, test=80)
    return prepare(Data(kind="digits", image_px=32, splits=splits), cache)


@pytest.fixture(scope="session")
def store(cache):
    return FeatureStore(cache, "float32")


@pytest.fixture(scope="session")
def small_trial():
    """A short trial of a shipped backbone, whose every variable gets a gradient."""

    def build(unfrozen_layers=0, **changes):
        rate = {"head_lr" if unfrozen_layers == 0 else "fine_tune_lr": 1e-3}
        plain = {
            "backbone": "strokes",
            "unfrozen_layers": unfrozen_layers,
            "dropout": 0.3,
            "batch_size": 16,
            "image_px": 32,
            "epochs": 3,
            "warm_up_epochs": 2,
            "feature_dtype": "float32",
        }
        return TrialConfig(**plain | rate | changes)

    return build

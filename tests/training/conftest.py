import functools

import pytest
from small_presets import write_preset

from tlsearch.config.dataset import Data, Splits
from tlsearch.config.trial_config import TrialConfig
from tlsearch.data.sources import prepare
from tlsearch.features import FeatureStore


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def preset(tmp_path_factory):
    """Write a preset without weights from `CONFIGS` by its name, and return its folder."""
    return functools.partial(write_preset, tmp_path_factory.mktemp("presets"))


@pytest.fixture(scope="session")
def digits(cache):
    splits = Splits(train=60, validation=70, test=80)
    return prepare(Data(kind="digits", image_px=32, splits=splits), cache)


@pytest.fixture(scope="session")
def store(cache):
    return FeatureStore(cache, "float32")


@pytest.fixture(scope="session")
def outcomes():
    """Return a function that lists the epoch, the value and the losses of reports."""
    return lambda reports: [(r.epoch, r.value, r.train_loss, r.validation_loss) for r in reports]


@pytest.fixture(scope="session")
def small_trial():
    """Return a short trial of a shipped backbone in which every variable gets a gradient."""

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

"""Configurations with equal digests train bit for bit alike; others do not."""

import numpy as np
import pytest

from tlsearch.training.epoch.schedule import rate_factor
from tlsearch.training.trial import train

pytestmark = pytest.mark.training

ALL = {"unfrozen_layers": "all"}
LAST = {"unfrozen_layers": 14, "fine_tune_lr": 1e-3}
NO_WEIGHTS = {"weights": "none"}
DECAY = {"optimizer": "adamw", "weight_decay": 1e-2}

# Two spellings of the same training.
ALIKE = {
    "adam": ({}, {"optimizer": "adam"}),
    "adam, unfrozen": (LAST, {**LAST, "optimizer": "adam"}),
    "adam with decay": ({**LAST, **DECAY}, {**LAST, **DECAY, "optimizer": "adam"}),
    "one epoch of cosine": ({"epochs": 1}, {"epochs": 1, "schedule": "cosine"}),
    "too short for a plateau": (LAST, {**LAST, "schedule": "reduce_on_plateau"}),
    "shipped weights": ({}, {"weights": "shipped"}),
    "one network of random weights": (NO_WEIGHTS, {**NO_WEIGHTS, "backbone": "photos"}),
    "the same by its own name": (NO_WEIGHTS, {**NO_WEIGHTS, "backbone": "mobilenet_v2_035"}),
    "layers without weights": (LAST, {**LAST, "unfrozen_layers": 16}),
    "the same cut": (LAST, {**LAST, "cut_layers": 15}),
    "more layers than there are": ({**ALL}, {"unfrozen_layers": 300}),
    "all behind the input": ({**ALL}, {"unfrozen_layers": 153, "cut_layers": "all"}),
    "no batch norm among them": (
        {"unfrozen_layers": 4, "backbone": "mobilenet_v2_035", **NO_WEIGHTS, "cut_layers": 9},
        {"unfrozen_layers": 3, "backbone": "photos", **NO_WEIGHTS, "cut_layers": 9},
    ),
    "a feature map of one place": ({}, {"pooling": "flatten"}),
    "no layers to normalise": (
        {"unfrozen_layers": 1},
        {"unfrozen_layers": 1, "train_batch_norm": True},
    ),
}
# Similar configurations that train differently.
OTHERS = {
    "sgd": ({}, {"optimizer": "sgd"}),
    "rmsprop": ({}, {"optimizer": "rmsprop"}),
    "decay": (LAST, {**LAST, **DECAY}),
    "two epochs of cosine": ({"epochs": 2}, {"epochs": 2, "schedule": "cosine"}),
    "other weights": ({}, {"weights": "none"}),
    "shipped weights of two": ({}, {"backbone": "photos"}),
    "a layer with weights": (LAST, {**LAST, "unfrozen_layers": 17}),
    "another cut": ({**LAST, "feature_dtype": "float16"}, {**LAST, "cut_layers": 40}),
    "batch norm": (LAST, {**LAST, "train_batch_norm": True}),
    "mean and maximum": ({}, {"pooling": "gap_max"}),
    "smoothing": ({}, {"label_smoothing": 0.1}),
    "dropout": ({}, {"dropout": 0.1}),
}


@pytest.fixture(scope="module")
def trained(small_trial, digits, store):
    """Return a configuration's digest and all results of its training; each is trained once."""
    known = {}

    def train_once(changes):
        key = repr(sorted(changes.items()))
        if key not in known:
            trial = small_trial(**{"unfrozen_layers": 0, **changes})
            reports = list(train(trial, digits, store))
            numbers = [(r.value, r.train_loss, r.validation_loss) for r in reports]
            known[key] = trial.digest, numbers, reports[-1].snapshot().arrays
        return known[key]

    return train_once


def equal(one, other):
    if one[1] != other[1] or one[2].keys() != other[2].keys():
        return False
    return all(np.array_equal(array, other[2][name]) for name, array in one[2].items())


@pytest.mark.parametrize("name", ALIKE)
def test_one_digest_is_one_training(trained, name):
    one, other = map(trained, ALIKE[name])
    assert one is not other
    assert one[0] == other[0]
    assert equal(one, other)


@pytest.mark.parametrize("name", OTHERS)
def test_two_digests_are_two_trainings(trained, name):
    one, other = map(trained, OTHERS[name])
    assert one[0] != other[0]
    assert not equal(one, other)


@pytest.mark.parametrize(("schedule", "acts"), [("cosine", 2), ("reduce_on_plateau", 4)])
def test_a_schedule_changes_no_rate_before_its_first_epoch(schedule, acts):
    from tlsearch.config.catalog import SCHEDULE_ACTS

    worse = [1.0, 2.0, 3.0, 4.0]
    factors = [rate_factor(schedule, epoch, 10, worse[: epoch - 1]) for epoch in range(1, 6)]
    assert SCHEDULE_ACTS[schedule] == acts
    assert [factor == 1.0 for factor in factors[: acts - 1]] == [True] * (acts - 1)
    assert factors[acts - 1] < 1.0

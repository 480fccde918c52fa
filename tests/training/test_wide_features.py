"""Activations that exceed 16 bits: the backbone's features are stored in 32 bits, and training is
unaffected.
"""

import logging

import numpy as np
import pytest

from tlsearch.features import FeatureStore
from tlsearch.training.checkpoint import load_checkpoint
from tlsearch.training.epoch.executor import Executor
from tlsearch.training.frozen.prefix import backbone_key
from tlsearch.training.network.backbone import load_backbone
from tlsearch.training.trial import train

pytestmark = pytest.mark.training


@pytest.fixture
def loud(tmp_path):
    """Write a weight file of a network whose activations at its cuts overflow 16 bits."""
    model = load_backbone("strokes", "default", 32).model
    for layer in model.layers:
        if layer.name.endswith("project_BN"):
            layer.gamma.assign(layer.gamma * 1e7)
    path = tmp_path / "loud.weights.h5"
    model.save_weights(path)
    load_backbone.cache_clear()
    return str(path)


@pytest.mark.parametrize("budget", [None, 0])
def test_a_trial_whose_activations_do_not_fit_is_that_of_the_wider_type(
    small_trial, digits, tmp_path, loud, caplog, budget, outcomes
):
    caplog.set_level(logging.WARNING)
    settings = {"weights": loud, "augment": {"rotate": 0.1}, "views": 2}
    narrow = small_trial(20, feature_dtype="float16", **settings)
    store = FeatureStore(tmp_path, "float16", budget)
    found = list(train(narrow, digits, store, None, Executor()))
    wide = FeatureStore(tmp_path / "wide", "float32", budget)
    expected = list(train(small_trial(20, **settings), digits, wide, None, Executor()))
    assert [r.epoch for r in found] == [0, 1, 2, 3]
    np.testing.assert_array_equal(outcomes(found), outcomes(expected))
    assert {r.feature_dtype for r in found[1:]} == {"float32"}
    (again, *_) = train(narrow, digits, store, None, Executor())
    assert again.feature_dtype == "float32"
    (warning,) = [line for line in caplog.messages if "do not fit" in line]
    assert warning.endswith("do not fit into float16: its features are kept as float32")


def test_a_trial_goes_on_with_the_type_that_it_began_with(small_trial, digits, tmp_path, outcomes):
    trial = small_trial(20, feature_dtype="float16")
    store = FeatureStore(tmp_path, "float16")
    unbroken = []
    for report in train(trial, digits, store):
        unbroken.append(report)
        if report.epoch == 1:
            report.snapshot().save(tmp_path / "resume.npz")
    store.widen(backbone_key(trial, load_backbone("strokes", "default", 32), digits))
    resumed = list(train(trial, digits, store, load_checkpoint(tmp_path / "resume.npz")))
    assert outcomes(resumed) == outcomes(unbroken[2:])
    assert {r.feature_dtype for r in resumed} == {"float16"}
    (first, *_) = train(trial, digits, store)
    assert first.feature_dtype == "float32"

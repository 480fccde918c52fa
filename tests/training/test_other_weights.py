"""Trained layers are loaded only into the pretrained network that they were trained in."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from tlsearch.base.errors import RecordError, WeightsError
from tlsearch.config.catalog import BACKBONES
from tlsearch.training.checkpoint import load_checkpoint
from tlsearch.training.epoch.executor import Executor
from tlsearch.training.export.whole_model import restore
from tlsearch.training.network.backbone import load_backbone
from tlsearch.training.trial import train

pytestmark = pytest.mark.training


@pytest.fixture
def own(tmp_path):
    """Yield a weight file of the user: at first, the shipped one of `strokes`."""
    file = tmp_path / "own.weights.h5"
    shutil.copyfile(BACKBONES["strokes"].shipped_path, file)
    yield file
    load_backbone.cache_clear()


def replaced(file):
    """Put other weights under the same name, as a later process may find them."""
    shutil.copyfile(BACKBONES["photos"].shipped_path, file)
    load_backbone.cache_clear()


@pytest.fixture
def trial(own, small_trial):
    return small_trial(20, weights=str(own))


@pytest.fixture
def saved(trial, digits, store, tmp_path):
    """Return a resume state of epoch 1, and the digest of the network that the trial reported."""
    epochs = train(trial, digits, store, executor=Executor())
    report = next(report for report in epochs if report.epoch == 1)
    report.snapshot().save(tmp_path / "resume.npz")
    return tmp_path / "resume.npz", report.network


def test_a_checkpoint_says_which_network_it_belongs_to(saved, trial):
    path, network = saved
    assert (
        load_checkpoint(path).network
        == network
        == load_backbone(trial.backbone, trial.weights, trial.image_px).digest
    )


def test_a_trial_does_not_go_on_from_other_weights(saved, trial, own, digits, store):
    start = load_checkpoint(saved[0])
    next(train(trial, digits, store, start, Executor()))
    replaced(own)
    message = (
        rf"strokes: .*recorded {saved[1][:12]}, found [0-9a-f]{{12}} in .*own\.weights\.h5; put"
    )
    with pytest.raises(WeightsError, match=message):
        next(train(trial, digits, store, start, Executor()))


def test_a_trial_does_not_begin_on_other_weights_than_recorded(saved, trial, own, digits, store):
    next(train(trial, digits, store, executor=Executor(), recorded=saved[1]))
    replaced(own)
    next(train(trial, digits, store, executor=Executor()))
    with pytest.raises(WeightsError, match="is not the one that the study was trained with"):
        next(train(trial, digits, store, executor=Executor(), recorded=saved[1]))


def test_random_weights_are_compared_with_a_warning(small_trial, digits, store, caplog):
    trial = small_trial(20, weights="none")
    next(train(trial, digits, store, executor=Executor(), recorded="0" * 32))
    assert "recorded 000000000000, found" in caplog.text


def test_a_checkpoint_that_does_not_say_is_warned_of(saved, trial, digits, store, caplog):
    start = replace(load_checkpoint(saved[0]), network=None)
    next(train(trial, digits, store, start, Executor()))
    assert "resume.npz: does not record its pretrained weights" in caplog.text


def without(arrays, name):
    return {key: array for key, array in arrays.items() if key != name}


@pytest.mark.parametrize("begins", ["model/", "optimizer/", "history"])
def test_arrays_that_do_not_fit_are_named_with_their_file(saved, trial, digits, store, begins):
    start = load_checkpoint(saved[0])
    name = max(key for key in start.arrays if key.startswith(begins))
    odd = {**start.arrays, name: np.zeros((3, 1, 1))}
    with pytest.raises(RecordError, match=rf"resume\.npz: .*\({name}: found \(3, 1, 1\), expected"):
        next(train(trial, digits, store, replace(start, arrays=odd), Executor()))


def test_an_array_that_is_missing_is_named_with_its_file(saved, digits):
    start = load_checkpoint(saved[0])
    missing = replace(start, arrays=without(start.arrays, "model/logits/0"))
    with pytest.raises(RecordError, match=r"resume\.npz: .*\(model/logits/0: found nothing, expec"):
        restore(missing, len(digits.classes))

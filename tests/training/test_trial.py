from dataclasses import replace

import numpy as np
import pytest

from tlsearch.config.networks.unfreezing import Depth
from tlsearch.training.checkpoint import load_checkpoint
from tlsearch.training.epoch.executor import Executor
from tlsearch.training.network.backbone import load_backbone
from tlsearch.training.network.cut import trainable_layers
from tlsearch.training.trial import train

pytestmark = pytest.mark.training


def same(one, other):
    keys = ("epoch", "value", "train_loss", "train_value", "batches", "validation_loss")
    return all(getattr(one, key) == getattr(other, key) for key in keys)


@pytest.mark.parametrize(
    ("unfrozen", "changes"),
    [
        (0, {"optimizer": "adam"}),
        (20, {"optimizer": "adamw", "weight_decay": 1e-3, "head_units": (8,)}),
        (20, {"optimizer": "rmsprop", "train_batch_norm": True}),
        ("all", {"optimizer": "sgd", "weight_decay": 1e-3}),
        (20, {"schedule": "reduce_on_plateau", "pooling": "gap_max", "early_stopping": 5}),
        (0, {"schedule": "cosine", "pooling": "flatten", "class_weights": "balanced"}),
    ],
)
def test_a_resumed_trial_is_the_unbroken_one(
    small_trial, digits, store, tmp_path, unfrozen, changes
):
    trial = small_trial(unfrozen, **changes)
    unbroken = []
    for report in train(trial, digits, store):
        unbroken.append(report)
        if report.epoch == 1:
            report.snapshot().save(tmp_path / "resume.npz")
    last = unbroken[-1].snapshot().arrays
    resumed = list(train(trial, digits, store, load_checkpoint(tmp_path / "resume.npz")))
    assert [report.epoch for report in resumed] == [2, 3]
    assert all(map(same, resumed, unbroken[2:]))
    again = resumed[-1].snapshot().arrays
    assert last.keys() == again.keys()
    assert all(np.array_equal(last[name], again[name]) for name in last)


def test_a_trial_does_not_depend_on_the_one_before_it(small_trial, digits, store):
    first = list(train(small_trial(20), digits, store))
    list(train(small_trial("all", fine_tune_lr=1e-2), digits, store))
    assert all(map(same, first, train(small_trial(20), digits, store)))


def test_another_seed_is_another_trial(small_trial, digits, store):
    one, other = (list(train(small_trial(0, seed=s), digits, store)) for s in (0, 1))
    assert one[-1].train_loss != other[-1].train_loss


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("unfrozen", [0, 20, "all"])
def test_only_the_last_layers_and_the_head_move(small_trial, digits, store, unfrozen, batch_norm):
    trial = small_trial(unfrozen, epochs=1, train_batch_norm=batch_norm)
    list(train(trial, digits, store))
    backbone = load_backbone(trial.backbone, trial.weights, trial.image_px, "gap", trial.precision)
    may_move = {
        id(variable)
        for layer in trainable_layers(backbone.model, Depth(unfrozen))
        if batch_norm or type(layer).__name__ != "BatchNormalization"
        for variable in layer.variables
    }
    moved = {
        id(variable)
        for variable in backbone.model.variables
        if not np.array_equal(variable.numpy(), backbone.pristine[id(variable)])
    }
    assert moved == may_move


def test_epoch_zero_is_the_head_after_warm_up(small_trial, digits, store):
    zero = next(train(small_trial(20, warm_up_epochs=20, dropout=0.0), digits, store))
    untrained = next(train(small_trial(20, warm_up_epochs=0), digits, store))
    assert zero.epoch == untrained.epoch == 0
    assert zero.validation_loss < untrained.validation_loss
    assert np.isnan([untrained.train_loss, untrained.train_value, untrained.train_accuracy]).all()
    assert untrained.batches.losses == ()
    assert zero.train_accuracy > 0.2
    assert zero.validation_accuracy == (zero.predicted == digits.split_labels("validation")).mean()
    assert not untrained.diverged


def test_trials_with_the_same_head_share_their_warm_up(small_trial, digits, store):
    starts = [next(train(small_trial(n), digits, store)) for n in (0, 20, "all")]
    assert starts[0].value == starts[1].value == starts[2].value
    assert starts[0].validation_loss == pytest.approx(starts[2].validation_loss, abs=1e-4)


def test_a_trial_that_blows_up_says_so(small_trial, digits, store):
    trial = small_trial("all", optimizer="sgd", fine_tune_lr=1e38, epochs=3)
    reports = list(train(trial, digits, store))
    assert reports[-1].diverged
    assert not reports[0].diverged


def test_half_precision_features_change_little(small_trial, digits, cache):
    from tlsearch.features import FeatureStore

    values = [
        [r.validation_loss for r in train(small_trial(20), digits, FeatureStore(cache, dtype))]
        for dtype in ("float16", "float32")
    ]
    np.testing.assert_allclose(values[0], values[1], atol=2e-2)


def test_a_frozen_dropout_drops_nothing(small_trial):
    trial = small_trial(5, backbone="efficientnet_b0", weights="none", dropout=0.0)
    network = Executor().network(trial, 3)
    features = np.random.default_rng(0).normal(size=(2, *network.sections.prefix.output.shape[1:]))
    quiet = network.logits(features.astype(np.float32), training=False, seed=None)
    for epoch in (1, 2):
        network.reseed(0, epoch)
        again = network.logits(features.astype(np.float32), training=True, seed=(0, epoch))
        np.testing.assert_allclose(quiet, again, rtol=1e-5, atol=1e-6)


def test_an_unfrozen_dropout_depends_on_seed_and_epoch_alone(small_trial):
    trial = small_trial("all", backbone="efficientnet_b0", weights="none")
    network = Executor().network(trial, 3)
    images = np.random.default_rng(0).uniform(0, 255, (8, 32, 32, 3)).astype(np.float32)

    def outputs(seed, epoch):
        network.reseed(seed, epoch)
        return np.asarray(network.logits(images, training=True, seed=(0, epoch)))

    first = outputs(0, 1)
    assert not np.array_equal(first, outputs(0, 2))
    assert not np.array_equal(first, outputs(1, 1))
    np.testing.assert_array_equal(first, outputs(0, 1))


def test_a_trial_ends_itself_after_its_patience(small_trial, digits, store):
    trial = small_trial(0, epochs=9, early_stopping=1, head_lr=1e-9, warm_up_epochs=0)
    reports = list(train(trial, digits, store))
    assert [r.epoch for r in reports] == [0, 1, 2]
    assert [r.last for r in reports] == [False, False, True]


def test_the_schedule_sets_the_rate(small_trial, digits, store):
    from tlsearch.training.epoch.executor import Executor
    from tlsearch.training.session import Session

    session = Session(small_trial(0, schedule="cosine", epochs=4), digits, store, Executor())
    rates = []
    for epoch in (1, 2, 3, 4):
        session.train(epoch)
        rates.append(session._loop.optimizer.learning_rate)
    np.testing.assert_allclose(rates[0], 1e-3, rtol=1e-6)
    np.testing.assert_allclose(rates[2], 5e-4, rtol=1e-6)
    assert rates == sorted(rates, reverse=True)


def test_a_rare_class_counts_as_much_as_a_common_one(small_trial, digits, store):
    lopsided = replace(digits, labels=np.minimum(digits.labels, 3))
    plain, balanced = (
        list(train(small_trial(0, class_weights=kind), lopsided, store))
        for kind in ("none", "balanced")
    )
    assert plain[-1].train_loss != balanced[-1].train_loss
    assert plain[0].validation_loss == balanced[0].validation_loss  # warm-up is the same for all

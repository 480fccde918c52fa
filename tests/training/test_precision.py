"""Layers that compute in 16 bits give nearly float32, with variables, head and loss in float32."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tlsearch.config.device import PRECISIONS, keras_policy
from tlsearch.features import FeatureStore
from tlsearch.training.checkpoint import Checkpoint, load_checkpoint
from tlsearch.training.epoch.executor import Executor
from tlsearch.training.epoch.optimizer import FIRST_SCALE, STEADY_STEPS, LossScale, Optimizer
from tlsearch.training.export.whole_model import restore
from tlsearch.training.network.backbone import load_backbone
from tlsearch.training.trial import train

pytestmark = pytest.mark.training


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_network_is_the_same_one_in_every_precision_and_ends_in_float32(precision):
    exact = load_backbone("strokes", "default", 32)
    found = load_backbone("strokes", "default", 32, "gap", precision)
    assert found.digest == exact.digest
    assert {v.dtype for v in found.model.variables if "seed" not in v.path} == {"float32"}
    assert found.pooled.dtype == "float32"
    kernels = [x for x in found.model.layers if isinstance(x, keras.layers.Conv2D)]
    assert {x.compute_dtype for x in kernels} == {keras_policy(precision).removeprefix("mixed_")}
    assert keras.config.dtype_policy().name == "float32"  # for the next network


def test_preprocessing_inside_a_network_stays_in_float32():
    model = load_backbone("efficientnet_b0", "none", 32, "gap", "mixed_bfloat16").model
    kinds = (keras.layers.Rescaling, keras.layers.Normalization)
    assert {x.compute_dtype for x in model.layers if isinstance(x, kinds)} == {"float32"}


def step_of(precision, trial, digits):
    """Return the logits and the gradients of all trained variables for some images."""
    network = Executor().network(trial.model_copy(update={"precision": precision}), 10)
    images, labels = digits.images("train")[:16], digits.split_labels("train")[:16]
    variables = network.trainable_variables()
    with tf.GradientTape() as tape:
        logits = network.logits(tf.cast(images, tf.float32), False, (0, 0))
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        loss = tf.reduce_mean(losses)
    assert logits.dtype == losses.dtype == tf.float32
    gradients = tape.gradient(loss, variables)
    return logits, np.concatenate([np.ravel(one) for one in gradients])


def test_gradients_are_near_those_of_float32(small_trial, digits):
    """The error is relative to the whole gradient's length; bfloat16 has 8 bits of mantissa,
    float16 has 11.
    """
    trial = small_trial("all", dropout=0.0)
    exact, expected = step_of("float32", trial, digits)
    for precision, tolerance in (("mixed_bfloat16", 0.1), ("mixed_float16", 0.02)):
        logits, found = step_of(precision, trial, digits)
        assert np.linalg.norm(found - expected) < tolerance * np.linalg.norm(expected)
        assert np.abs(logits - exact).max() < tolerance * np.abs(exact).max()
        assert (found != expected).any()


def test_a_cached_trial_is_the_uncached_one_in_bfloat16(small_trial, digits, cache, outcomes):
    trial, executor = small_trial(20, precision="mixed_bfloat16", epochs=1), Executor()
    cached, uncached = (
        outcomes(train(trial, digits, FeatureStore(cache, "float16", budget), None, executor))
        for budget in (None, 0)
    )
    np.testing.assert_allclose(cached, uncached, atol=1e-3)


def test_a_trial_with_scaled_losses_learns_and_is_resumed_as_the_unbroken_one(
    small_trial, digits, store, tmp_path, outcomes
):
    trial, executor = small_trial(20, precision="mixed_float16", epochs=2), Executor()
    epochs = train(trial, digits, store, None, executor)
    before, first = next(epochs), next(epochs)
    assert first.validation_loss < before.validation_loss
    first.snapshot().save(tmp_path / "resume.npz")
    unbroken = outcomes(epochs)
    kept = load_checkpoint(tmp_path / "resume.npz")
    assert outcomes(train(trial, digits, store, kept, executor)) == unbroken


def test_a_model_trained_in_16_bits_is_exported_in_32(small_trial):
    trial = small_trial(20, precision="mixed_bfloat16")
    network = Executor().network(trial, 10)
    kept = Checkpoint(trial, 1, network.changeable_values(), network.backbone.digest)
    whole = restore(kept, 10)
    assert whole.backbone.precision == "float32"
    assert {x.compute_dtype for x in whole.backbone.model.layers} == {"float32"}
    found, expected = whole.changeable_values(), network.changeable_values()
    assert found.keys() == expected.keys()
    assert all(np.array_equal(found[name], expected[name]) for name in found)


@pytest.fixture
def scaled():
    """Return a layer, an optimizer that scales losses, its step and a reader of the state."""
    layer = keras.layers.Dense(2)
    layer.build((None, 2))
    optimizer = Optimizer("adam", layer.trainable_variables, scales=True)
    optimizer.begin(0.1, 0.1)
    apply = tf.function(optimizer.apply)

    def state():
        return [v.numpy() for v in (*layer.trainable_variables, *optimizer.state[:-2])]

    return layer, optimizer, apply, state


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
def test_a_step_that_overflows_is_skipped_and_the_scale_halves(scaled, bad):
    layer, optimizer, apply, state = scaled
    before = state()
    apply([tf.fill(layer.kernel.shape, bad), tf.zeros(layer.bias.shape)])
    assert all(np.array_equal(one, other) for one, other in zip(before, state(), strict=True))
    assert float(optimizer.loss_scale.scale) == FIRST_SCALE / 2
    apply([tf.ones(layer.kernel.shape), tf.ones(layer.bias.shape)])
    assert not np.array_equal(before[0], layer.kernel.numpy())
    assert float(optimizer.loss_scale.scale) == FIRST_SCALE / 2


def test_a_scaled_step_is_the_step(scaled):
    layer, _, apply, _ = scaled
    other = keras.layers.Dense(2)
    other.build((None, 2))
    other.set_weights(layer.get_weights())
    plain = Optimizer("adam", other.trainable_variables)
    plain.begin(0.1, 0.1)
    gradients = [tf.fill(v.shape, 0.3) for v in layer.trainable_variables]
    apply([gradient * FIRST_SCALE for gradient in gradients])
    plain.apply(gradients)
    for one, expected in zip(layer.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(one, expected, rtol=1e-6)


def test_the_scale_doubles_after_many_steady_steps_and_is_forgotten_by_the_next_trial():
    scale = LossScale()
    take = tf.function(lambda: scale.step_if_finite([tf.zeros(1)], lambda gradients: None))
    for _ in range(STEADY_STEPS):
        take()
    assert float(scale.scale) == 2 * FIRST_SCALE
    scale.begin()
    assert [float(v) for v in scale.state] == [FIRST_SCALE, 0]

import keras
import numpy as np
import pytest

from tlsearch.training import loop
from tlsearch.training.loop import Loop, build_optimizer

pytestmark = pytest.mark.training


@pytest.fixture
def problem():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(50, 6)).astype(np.float16)
    return features, rng.integers(0, 3, 50).astype(np.int32)


def train_once(features, labels, batch=8):
    keras.utils.set_random_seed(1)
    dense = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3)])
    optimizer = build_optimizer("adam", 1e-2, 0.0)
    run = Loop(
        lambda x, training: dense(x, training=training),
        features,
        dense.trainable_variables,
        optimizer,
        batch,
    )
    order = np.random.default_rng(2).permutation(len(features))
    return run.train(features, labels, order), dense.get_weights(), run.predict(features)


def test_an_epoch_in_blocks_is_an_epoch_in_one_piece(problem, monkeypatch):
    whole = train_once(*problem)
    monkeypatch.setattr(loop, "BLOCK_BYTES", 200)  # 16 rows of 12 bytes
    blocks = train_once(*problem)
    assert whole[0] == pytest.approx(blocks[0], rel=1e-6)
    for one, other in zip(whole[1], blocks[1], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


def test_a_step_is_what_keras_does(problem):
    features, labels = problem
    _, ours, _ = train_once(features, labels, batch=len(features))
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-2), loss)
    model.fit(features, labels, batch_size=len(features), epochs=1, verbose=0)
    for one, other in zip(ours, model.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_predictions_are_probabilities_in_the_order_of_the_rows(problem):
    features, labels = problem
    _, _, probabilities = train_once(features, labels)
    assert probabilities.shape == (50, 3)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)


def test_more_rows_than_a_batch_of_evaluation_are_joined_in_order(problem, monkeypatch):
    whole = train_once(*problem)[2]
    monkeypatch.setattr(loop, "EVAL_BATCH", 7)
    np.testing.assert_allclose(whole, train_once(*problem)[2], atol=1e-6)


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd", "rmsprop"])
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_weight_decay_shrinks_kernels_and_spares_biases(name, decay):
    layer = keras.layers.Dense(2, bias_initializer="ones")
    layer.build((None, 2))
    kernel = layer.kernel.numpy()
    optimizer = build_optimizer(name, 0.1, decay)
    optimizer.build(layer.trainable_variables)
    optimizer.apply([v * 0 for v in layer.trainable_variables], layer.trainable_variables)
    np.testing.assert_allclose(layer.kernel.numpy(), kernel * (1 - 0.1 * decay), rtol=1e-5)
    np.testing.assert_array_equal(layer.bias.numpy(), np.ones(2))

import threading
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from tlsearch.config.device import CPU_PROFILE
from tlsearch.training.epoch.loop import Loop
from tlsearch.training.epoch.optimizer import Optimizer

SMALL_BLOCKS = replace(CPU_PROFILE, block_bytes=200)  # 16 rows of 12 bytes

pytestmark = pytest.mark.training


@pytest.fixture
def problem():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(50, 6)).astype(np.float16)
    return features, rng.integers(0, 3, 50).astype(np.int32)


def train_once(features, labels, batch=8, pieces=1, smoothing=0.0, device=CPU_PROFILE):
    keras.utils.set_random_seed(1)
    dense = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3)])
    optimizer = Optimizer("adam", dense.trainable_variables)
    forward = lambda x, training, seed: dense(x, training=training)  # noqa: E731
    run = Loop(forward, features, optimizer, pieces, device)
    run.begin(1e-2, 0.0, smoothing)
    order = np.random.default_rng(2).permutation(len(features))
    steps = run.train(features, labels, order, batch, seed=0)
    return steps.loss, dense.get_weights(), run.predict(features)


@pytest.mark.parametrize("overlap", [0, 1])
def test_an_epoch_in_blocks_is_an_epoch_in_one_piece(problem, overlap):
    """The results are equal bit for bit, whether or not the next block is read meanwhile."""
    device = replace(SMALL_BLOCKS, overlap=overlap, step_overlap=overlap, eval_bytes=17 * 12)
    whole, blocks = train_once(*problem), train_once(*problem, device=device)
    assert whole[0] == blocks[0]
    for one, other in zip(whole[1], blocks[1], strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_allclose(whole[2], blocks[2], atol=1e-6)


class Watched:
    """Rows that record how many are read at a time; read number `bad` fails."""

    def __init__(self, rows, bad=None):
        self.rows, self.bad, self.read = rows, bad, []
        self.shape, self.dtype = rows.shape, rows.dtype

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, which):
        self.read.append(len(self.rows[which]))
        if len(self.read) == self.bad:
            raise OSError("a bad sector")
        return self.rows[which]


@pytest.mark.parametrize("overlap", [0, 1])
def test_blocks_in_memory_are_within_the_bound_and_their_errors_reach_the_trial(problem, overlap):
    features, labels = problem
    device, threads = replace(SMALL_BLOCKS, overlap=overlap), threading.active_count()
    rows = Watched(features)
    train_once(rows, labels, device=device)
    assert max(rows.read[:3]) * 12 * (1 + overlap) <= device.block_bytes
    with pytest.raises(OSError, match="a bad sector"):
        train_once(Watched(features, bad=3), labels, device=device)
    assert threading.active_count() == threads


@pytest.mark.parametrize("pieces", [1, 2])
@pytest.mark.parametrize("batch", [8, 50])
def test_losses_of_steps_are_those_of_what_was_said_in_them(problem, pieces, batch):
    features, labels = problem
    dense = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3)])
    optimizer = Optimizer("adam", dense.trainable_variables)
    run = Loop(lambda x, training, seed: dense(x), features, optimizer, pieces, SMALL_BLOCKS)
    run.begin(1e-2, 0.0)
    first = run.predict(features)
    order = np.random.default_rng(2).permutation(len(features))
    steps = run.train(features, labels, order, batch, seed=0, noted=len(order))
    own = steps.probabilities[np.arange(len(order)), labels[order]]
    np.testing.assert_array_equal(steps.true_probability, own)
    np.testing.assert_array_equal(steps.predicted, steps.probabilities.argmax(axis=1))
    losses_of_rows = -np.log(own)
    each = [losses_of_rows[i : i + batch].mean() for i in range(0, len(order), batch)]
    np.testing.assert_allclose(steps.losses, each, rtol=1e-5)
    assert steps.loss == pytest.approx(losses_of_rows.mean(), rel=1e-5)
    np.testing.assert_allclose(steps.probabilities[:batch], first[order[:batch]], atol=1e-6)


@pytest.mark.parametrize("noted", [0, 11, 20, 99])
def test_probabilities_are_noted_of_the_first_images_alone(problem, noted):
    features, labels = problem
    dense = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3)])
    optimizer = Optimizer("adam", dense.variables)
    run = Loop(lambda x, training, seed: dense(x), features, optimizer, device=SMALL_BLOCKS)
    run.begin(0.0, 0.0)
    steps = run.train(features, labels, np.arange(50), 8, seed=0, noted=noted)
    assert steps.probabilities.shape == (min(noted, 50), 3)
    assert steps.predicted.shape == steps.true_probability.shape == (50,)
    expected = run.predict(features)[:noted]
    np.testing.assert_allclose(steps.probabilities, expected, atol=1e-6)


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


def test_more_rows_than_a_batch_of_evaluation_are_joined_in_order(problem):
    whole = train_once(*problem)[2]
    few = replace(CPU_PROFILE, eval_bytes=17 * 12)  # 17 rows of 12 bytes
    np.testing.assert_allclose(whole, train_once(*problem, device=few)[2], atol=1e-6)


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd", "rmsprop"])
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_weight_decay_shrinks_kernels_and_spares_biases(name, decay):
    layer = keras.layers.Dense(2, bias_initializer="ones")
    layer.build((None, 2))
    kernel = layer.kernel.numpy()
    optimizer = Optimizer(name, layer.trainable_variables)
    optimizer.begin(0.1, decay)
    optimizer.apply([tf.zeros_like(v) for v in layer.trainable_variables])
    np.testing.assert_allclose(layer.kernel.numpy(), kernel * (1 - 0.1 * decay), rtol=1e-5)
    np.testing.assert_array_equal(layer.bias.numpy(), np.ones(2))


def test_a_step_in_pieces_is_the_step(problem):
    whole, parts = train_once(*problem), train_once(*problem, pieces=2)
    assert whole[0] == pytest.approx(parts[0], rel=1e-5)
    for one, other in zip(whole[1], parts[1], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def test_smoothing_is_that_of_keras(problem):
    features, labels = problem
    ours = train_once(features, labels, batch=len(features), smoothing=0.2)[0]
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3)])
    loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.2)
    wanted = keras.utils.to_categorical(labels, 3)
    assert ours == pytest.approx(float(loss(wanted, model(features.astype("float32")))), rel=1e-5)


def test_other_rates_need_no_other_graph(problem):
    features, labels = problem
    traced = []

    def forward(x, training, seed):
        traced.append(training)
        return dense(x, training=training)

    dense = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3)])
    run = Loop(forward, features, Optimizer("adamw", dense.trainable_variables))
    order = np.arange(len(features))
    for rate, decay, smoothing, batch in ((1e-2, 0.0, 0.0, 8), (1e-3, 0.1, 0.2, 16)):
        run.begin(rate, decay, smoothing)
        run.train(features, labels, order, batch, seed=1)
        run.predict(features)
    assert sorted(traced) == [False, True]

"""With XLA a trial gives the same results and each graph is compiled once: batches are padded."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from tlsearch.config.device import CPU_PROFILE
from tlsearch.features import FeatureStore
from tlsearch.training.epoch.executor import Executor
from tlsearch.training.epoch.loop import Loop
from tlsearch.training.epoch.optimizer import Optimizer
from tlsearch.training.epoch.prediction import compiled_prediction, run_blocks
from tlsearch.training.trial import train

pytestmark = pytest.mark.training

XLA = replace(CPU_PROFILE, jit=("strokes",))


@pytest.fixture
def problem():
    rng = np.random.default_rng(0)
    return rng.normal(size=(50, 6)).astype(np.float16), rng.integers(0, 3, 50).astype(np.int32)


class Traced:
    """The loop of a dense layer, which records the shapes that its graphs were traced for."""

    def __init__(self, features, jit):
        keras.utils.set_random_seed(1)
        self.dense = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3)])
        self.shapes = []
        optimizer = Optimizer("adam", self.dense.trainable_variables)
        self.loop = Loop(self._forward, features, optimizer, jit=jit)

    def _forward(self, x, training, seed):
        self.shapes.append((training, x.shape[0]))
        return self.dense(x, training=training)

    def epochs(self, features, labels, batch, count=2):
        weights = np.array([1.0, 0.5, 1.5], np.float32)
        self.loop.begin(1e-2, 0.01, 0.1, weights)
        order = np.random.default_rng(2).permutation(len(features))
        return [
            self.loop.train(features, labels, order, batch, seed, noted=20) for seed in range(count)
        ]


@pytest.mark.parametrize("batch", [8, 64])  # the last of 50 images' batches is partial
def test_padded_steps_are_the_steps(problem, batch):
    plain, xla = (Traced(problem[0], jit) for jit in (False, True))
    for one, other in zip(plain.epochs(*problem, batch), xla.epochs(*problem, batch), strict=True):
        np.testing.assert_allclose(other.losses, one.losses, rtol=1e-5)
        assert other.loss == pytest.approx(one.loss, rel=1e-5)
        np.testing.assert_array_equal(other.predicted, one.predicted)
        np.testing.assert_allclose(other.true_probability, one.true_probability, atol=1e-6)
        np.testing.assert_allclose(other.probabilities, one.probabilities, atol=1e-6)
    for ours, expected in zip(xla.dense.get_weights(), plain.dense.get_weights(), strict=True):
        np.testing.assert_allclose(ours, expected, atol=1e-6)
    few = problem[0][:11]
    np.testing.assert_allclose(xla.loop.predict(few), plain.loop.predict(few), atol=1e-6)


def test_every_graph_is_compiled_once_for_one_shape(problem):
    """XLA compiles a graph again for each new shape, so all shapes are fixed."""
    run = Traced(problem[0], jit=True)
    for seeds in (2, 3):  # two trials
        run.epochs(*problem, 8, seeds)
        for count in (50, 11, 1):
            run.loop.predict(problem[0][:count])
    assert sorted(run.shapes) == [(False, 50), (True, 8)]
    run.epochs(*problem, 16)  # another batch size needs another graph of the step
    assert sorted(run.shapes) == [(False, 50), (True, 8), (True, 16)]


def test_rows_beyond_one_step_of_prediction_are_joined_in_order():
    rows = np.arange(23, dtype=np.float32)[:, None]
    double = compiled_prediction(lambda x: (2 * x, x + 1), rows, xla_rows=5)
    first, second = double(rows[20:])
    np.testing.assert_array_equal(first, 2 * rows[20:])
    np.testing.assert_array_equal(second, rows[20:] + 1)
    alone = compiled_prediction(lambda x: 2 * x, rows, xla_rows=5)
    np.testing.assert_array_equal(run_blocks(alone, rows), 2 * rows)
    assert alone.graph.experimental_get_tracing_count() == 1


def test_a_trial_with_xla_is_the_trial_without(small_trial, digits, tmp_path):
    trial = small_trial(3, epochs=1, warm_up_epochs=0, dropout=0.0)
    plain, xla = (
        list(train(trial, digits, FeatureStore(tmp_path, "float32"), None, Executor((), device)))
        for device in (CPU_PROFILE, XLA)
    )
    for name in ("train_loss", "validation_loss"):
        found, expected = ([getattr(r, name) for r in some] for some in (xla, plain))
        np.testing.assert_allclose(found, expected, rtol=2e-3)


@pytest.mark.parametrize("trains", [False, True])
def test_batches_whose_statistics_count_are_not_padded(small_trial, trains):
    network = Executor().network(small_trial(20, train_batch_norm=trains), 10)
    assert network.trains_batch_norm == trains

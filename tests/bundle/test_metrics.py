import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from tlsearch.bundle.metrics import score
from tlsearch.config.catalog import METRICS


def drawn(seed, classes):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(4 * classes) % classes).astype(np.int32)
    raw = rng.uniform(0.01, 1, (len(labels), classes))
    return labels, raw / raw.sum(axis=1, keepdims=True)


@given(st.integers(0, 10**6), st.integers(2, 5))
def test_scores_are_those_of_scikit_learn(seed, classes):
    labels, probabilities = drawn(seed, classes)
    guess = probabilities.argmax(axis=1)
    assert score("accuracy", labels, probabilities) == sk.accuracy_score(labels, guess)
    assert score("loss", labels, probabilities) == pytest.approx(sk.log_loss(labels, probabilities))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("classes", [2, 4])
def test_a_perfect_prediction_scores_best(metric, classes):
    labels = np.arange(8, dtype=np.int32) % classes
    perfect = score(metric, labels, np.eye(classes)[labels])
    assert perfect == pytest.approx(1.0 if METRICS[metric] == "max" else 0.0, abs=1e-6)


@pytest.mark.parametrize("metric", METRICS)
def test_what_is_not_finite_has_no_score(metric):
    labels, probabilities = drawn(0, 3)
    probabilities[0, 0] = np.nan
    assert np.isnan(score(metric, labels, probabilities))

"""DeLong's components and variance and Newcombe's bound, against their definitions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tlsearch.bundle.auc_interval import (
    auc_and_influence,
    auc_interval,
    delong_variance,
    newcombe_low,
    placements,
)
from tlsearch.bundle.metrics import score
from tlsearch.results.rank.interval import Z_95

scores = st.lists(st.integers(0, 6), min_size=1, max_size=12).map(lambda x: np.array(x) / 7)


@given(scores, scores)
def test_placements_are_the_shares_of_pairs(inside, outside):
    wins = (inside[:, None] > outside) + (inside[:, None] == outside) / 2
    above, below = placements(inside, outside)
    np.testing.assert_allclose(above, wins.mean(axis=1))
    np.testing.assert_allclose(below, wins.mean(axis=0))


def drawn(seed, classes, each):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(each * classes) % classes).astype(np.int32)
    raw = rng.uniform(0.01, 1, (len(labels), classes)).round(1) + np.eye(classes)[labels] / 3
    return labels, raw / raw.sum(axis=1, keepdims=True)


@settings(deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 5), st.integers(2, 9))
def test_the_auc_is_that_of_scikit_learn(seed, classes, each):
    labels, probabilities = drawn(seed, classes, each)
    auc, influence = auc_and_influence(labels, probabilities, np.bincount(labels))
    assert auc == pytest.approx(score("auc", labels, probabilities))
    assert influence.sum() == pytest.approx(0, abs=1e-8)


@given(st.integers(0, 10**6), st.integers(2, 9))
def test_with_two_classes_the_variance_is_delongs(seed, each):
    labels, probabilities = drawn(seed, 2, each)
    labels[0] = 1 - labels[0]  # classes of unequal size
    counts = np.bincount(labels, minlength=2)
    _, influence = auc_and_influence(labels, probabilities, counts)
    above, below = placements(probabilities[labels == 1, 1], probabilities[labels == 0, 1])
    if counts.min() < 2:
        assert delong_variance(labels, influence, counts) is None
        return
    expected = above.var(ddof=1) / len(above) + below.var(ddof=1) / len(below)
    assert delong_variance(labels, influence, counts) == pytest.approx(expected, abs=1e-12)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6))
def test_a_class_and_its_opposite_say_the_same(seed):
    labels, probabilities = drawn(seed, 2, 8)
    assert auc_interval(labels, probabilities) == pytest.approx(
        auc_interval(1 - labels, probabilities[:, ::-1])
    ) or auc_interval(labels, probabilities) == auc_interval(1 - labels, probabilities[:, ::-1])


@pytest.mark.parametrize("classes", [2, 3, 8])
def test_the_variance_is_that_of_generated_samples(classes):
    rng, aucs, variances = np.random.default_rng(0), [], []
    for _ in range(300):
        labels = rng.integers(0, classes, 40 * classes)
        logits = rng.normal(size=(len(labels), classes)) + np.eye(classes)[labels]
        counts = np.bincount(labels, minlength=classes)
        auc, influence = auc_and_influence(labels, np.exp(logits), counts)
        aucs.append(auc)
        variances.append(delong_variance(labels, influence, counts))
    assert np.mean(variances) == pytest.approx(np.var(aucs), rel=0.25)


@given(st.integers(1, 200), st.integers(1, 200))
def test_newcombes_end_lies_its_own_standard_errors_below_one(m, n):
    auc = newcombe_low(np.array([m, n]))
    first, second = auc / (2 - auc), 2 * auc**2 / (1 + auc)  # Hanley and McNeil's Q1 and Q2
    star = (m + n) / 2 - 1
    variance = auc * (1 - auc) + star * (first - auc**2) + star * (second - auc**2)
    assert 1 - auc == pytest.approx(Z_95 * np.sqrt(variance / (m * n)), rel=1e-6)


def test_a_perfect_auc_takes_one_image_per_class_and_any_other_takes_two():
    labels = np.array([0, 0, 1], np.int32)
    perfect, worse = np.array([0.1, 0.2, 0.9]), np.array([0.1, 0.9, 0.8])
    assert auc_interval(labels, np.stack((1 - perfect, perfect), axis=1))[2] == "Newcombe"
    assert auc_interval(labels, np.stack((1 - worse, worse), axis=1)) is None
    assert auc_interval(labels[:2], np.stack((1 - worse, worse), axis=1)[:2]) is None

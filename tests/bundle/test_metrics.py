import subprocess
import sys
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from tlsearch.bundle import metrics
from tlsearch.bundle.metrics import accuracy, calibration_error, score, top_k_accuracy
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


@given(
    st.integers(0, 10**6),
    st.integers(2, 6),
    st.sampled_from((0, 1, 2, 17)),
    st.sampled_from((np.float32, np.float64)),
    st.sampled_from((1, 64, 2**25)),
)
def test_aucs_are_those_of_scikit_learn_also_of_ties(seed, classes, digits, dtype, at_a_time):
    labels, probabilities = drawn(seed, classes)
    tied = probabilities.round(digits).astype(dtype)
    mean = np.mean([sk.roc_auc_score(labels == c, tied[:, c]) for c in range(classes)])
    expected = sk.roc_auc_score(labels, tied[:, 1]) if classes == 2 else mean
    with mock.patch.object(metrics, "SORTED_BYTES", at_a_time):
        assert score("auc", labels, tied) == pytest.approx(expected, abs=1e-12)
    if classes > 2:
        theirs = sk.roc_auc_score(labels, probabilities, multi_class="ovr")
        assert score("auc", labels, probabilities) == pytest.approx(theirs, abs=1e-12)


def test_an_auc_without_an_image_of_a_class_is_none():
    labels, probabilities = drawn(0, 3)
    assert np.isnan(score("auc", labels[labels > 0], probabilities[labels > 0]))


def test_an_auc_needs_no_scikit_learn():
    code = (
        "import sys, numpy as np; from tlsearch.bundle.metrics import score; "
        "score('auc', np.array([0, 1, 2], np.int32), np.eye(3)); print('sklearn' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@given(st.integers(0, 10**6), st.integers(3, 7), st.data())
def test_top_k_is_that_of_scikit_learn(seed, classes, data):
    labels, probabilities = drawn(seed, classes)
    k = data.draw(st.integers(1, classes - 1))
    theirs = sk.top_k_accuracy_score(labels, probabilities, k=k, labels=range(classes))
    assert top_k_accuracy(labels, probabilities, k) == pytest.approx(theirs)


@given(st.integers(0, 10**6), st.integers(2, 7))
def test_top_k_grows_from_accuracy_to_certainty(seed, classes):
    labels, probabilities = drawn(seed, classes)
    rounded = probabilities.round(1)  # rounded, so that some are tied
    values = [top_k_accuracy(labels, rounded, k) for k in range(1, classes + 1)]
    assert values[0] == accuracy(labels, rounded)
    assert values == sorted(values)
    assert values[-1] == 1


@given(st.integers(0, 10**6), st.integers(2, 5))
def test_calibration_error_is_that_of_its_definition(seed, classes):
    labels, probabilities = drawn(seed, classes)
    sure, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    expected = 0.0
    for place in range(15):
        inside = (sure > place / 15) & (sure <= (place + 1) / 15)
        if inside.any():
            gap = abs(right[inside].mean() - sure[inside].mean())
            expected += inside.mean() * gap
    assert calibration_error(labels, probabilities) == pytest.approx(expected)


@given(st.integers(0, 10**6), st.integers(2, 5))
def test_calibration_error_knows_no_order_and_is_at_least_the_gap_of_the_means(seed, classes):
    labels, probabilities = drawn(seed, classes)
    found = calibration_error(labels, probabilities)
    order = np.random.default_rng(seed).permutation(len(labels))
    assert calibration_error(labels[order], probabilities[order]) == pytest.approx(found)
    overall = abs(accuracy(labels, probabilities) - probabilities.max(axis=1).mean())
    assert overall - 1e-12 <= found <= 1


@pytest.mark.parametrize(("right", "error"), [(8, 0.0), (10, 0.2), (0, 0.8)])
def test_who_is_sure_to_four_fifths_should_be_right_so_often(right, error):
    labels = np.array([0] * right + [1] * (10 - right), dtype=np.int32)
    assert calibration_error(labels, np.tile([0.8, 0.2], (10, 1))) == pytest.approx(error)


def test_certainty_that_is_always_wrong_is_the_worst_calibration():
    assert calibration_error(np.zeros(4, np.int32), np.eye(2)[[1] * 4]) == 1.0
    assert calibration_error(np.ones(4, np.int32), np.eye(2)[[1] * 4]) == 0.0


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
    assert np.isnan(top_k_accuracy(labels, probabilities, 2))
    assert np.isnan(calibration_error(labels, probabilities))

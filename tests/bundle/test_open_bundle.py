"""What a loaded model says of pictures, whatever its runtime gives."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlsearch.bundle.evaluate import measure
from tlsearch.bundle.open_bundle import OpenModel
from tlsearch.bundle.predict import ranking
from tlsearch.config.catalog import EXPORT_FORMATS

PICTURES = [np.full((4, 4, 3), shade, np.uint8) for shade in range(40)]
STEP = 1 / 256  # of an int8 file's probabilities


def opened(rows):
    labels = tuple(map(str, range(rows.shape[1])))
    return OpenModel(labels, EXPORT_FORMATS["litert_int8"], 4, lambda images: rows)


def rounded(seed, classes, scale=2.0):
    """Softmax probabilities in steps of 1/256, as an int8 file gives them."""
    logits = np.random.default_rng(seed).normal(0, scale, (len(PICTURES), classes))
    exact = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return (np.round(exact / STEP) * STEP).astype(np.float32)


@pytest.mark.parametrize("classes", [3, 5])
def test_every_score_is_defined_for_probabilities_in_steps(classes):
    rows = rounded(0, classes)
    assert np.abs(rows.sum(axis=1) - 1).max() >= STEP
    labels = (np.arange(len(rows)) % classes).astype(np.int32)
    model = opened(rows)
    found = measure(labels, model(PICTURES), model.labels)
    assert all(np.isfinite(value) for value in found.scores.values())


@given(st.integers(0, 10**6), st.integers(2, 300))
def test_probabilities_sum_to_one_and_keep_their_order(seed, classes):
    rows = rounded(seed, classes)
    found = opened(rows)(PICTURES)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)
    for before, after in zip(rows, found, strict=True):
        ranks = [[name for name, _ in ranking(row, range(classes), 5)] for row in (before, after)]
        assert ranks[0] == ranks[1]


def test_a_row_that_was_rounded_to_nothing_prefers_no_class():
    rows = rounded(0, 4)
    rows[7] = 0
    np.testing.assert_array_equal(opened(rows)(PICTURES)[7], np.full(4, 0.25))


def test_what_is_not_finite_stays_so():
    rows = rounded(0, 3)
    rows[5, 1] = np.nan
    found = opened(rows)(PICTURES)
    assert not np.isfinite(found[5]).all()
    assert np.isfinite(np.delete(found, 5, axis=0)).all()

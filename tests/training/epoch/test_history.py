"""An epoch's steps as numbers over all images; the probabilities of only a few are kept."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlsearch.bundle.metrics import score
from tlsearch.config.catalog import METRICS

pytestmark = pytest.mark.training


def steps_of(labels, probabilities, noted=0, losses=(0.1, 0.6, 0.2)):
    from tlsearch.training.epoch.loop import Steps

    return Steps(
        loss=0.4,
        losses=np.array(losses, np.float32),
        predicted=probabilities.argmax(axis=1).astype(np.int32),
        true_probability=probabilities[np.arange(len(labels)), labels],
        probabilities=probabilities[:noted],
    )


def test_an_epoch_in_numbers_is_that_of_its_batches():
    from tlsearch.training.epoch.history import train_metrics

    labels = np.array([0, 1, 1, 0, 1], np.int32)
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.6, 0.4], [0.1, 0.9]])
    found = train_metrics("balanced_accuracy", labels, 2, steps_of(labels, probabilities))
    assert found.accuracy == pytest.approx(0.8)
    assert found.value == pytest.approx((1 + 2 / 3) / 2)
    assert found.batches.accuracies == (1.0, 0.5, 1.0)
    assert found.batches.losses == pytest.approx((0.1, 0.6, 0.2))


@pytest.mark.parametrize("metric", METRICS)
@given(st.integers(0, 10**6), st.integers(2, 5))
def test_the_value_is_the_score_of_the_probabilities_that_are_not_kept(metric, seed, classes):
    from tlsearch.training.epoch.history import noted_images, train_metrics

    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(4 * classes) % classes).astype(np.int32)
    shares = rng.dirichlet(np.ones(classes), len(labels)).astype(np.float32)
    steps = steps_of(labels, shares, noted_images(metric, classes))
    assert train_metrics(metric, labels, 8, steps).value == score(metric, labels, shares)
    shares[3] = np.nan
    assert np.isnan(train_metrics(metric, labels, 8, steps_of(labels, shares)).value)


@pytest.mark.parametrize("metric", METRICS)
def test_no_array_of_all_images_and_classes_is_noted(metric):
    from tlsearch.training.epoch.history import NOTED, noted_images

    noted = noted_images(metric, 1000)
    assert noted * 1000 <= NOTED
    assert (noted > 0) == (metric == "auc")

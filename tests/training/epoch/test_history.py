import numpy as np
import pytest

pytestmark = pytest.mark.training


def test_an_epoch_in_numbers_is_that_of_its_batches():
    from tlsearch.training.epoch.history import trained
    from tlsearch.training.epoch.loop import Steps

    labels = np.array([0, 1, 1, 0, 1], np.int32)
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.6, 0.4], [0.1, 0.9]])
    steps = Steps(0.4, np.array([0.1, 0.6, 0.2], np.float32), probabilities)
    found = trained("balanced_accuracy", labels, 2, steps)
    assert found.accuracy == pytest.approx(0.8)
    assert found.value == pytest.approx((1 + 2 / 3) / 2)
    assert found.batches.accuracies == (1.0, 0.5, 1.0)
    assert found.batches.losses == pytest.approx((0.1, 0.6, 0.2))

"""How far a score may differ from the journal's before nothing is exported."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlsearch.base.errors import RecordError
from tlsearch.config.device import MIXED_SHARE
from tlsearch.training.checkpoint import Checkpoint
from tlsearch.training.export.as_recorded import require_as_recorded, rounding_allowance

pytestmark = pytest.mark.training


def labels_of(*sizes):
    return np.repeat(np.arange(len(sizes)), sizes).astype(np.int32)


@given(st.integers(1, 3000))
def test_two_pictures_may_change_class_or_a_hundredth_of_many(pictures):
    allowed = rounding_allowance("accuracy", labels_of(pictures), 0.9)
    assert allowed == pytest.approx(max(0.01, 2 / pictures))


@pytest.mark.parametrize("metric", ["balanced_accuracy", "macro_f1"])
def test_a_picture_of_a_small_class_counts_more_in_a_mean_over_classes(metric):
    assert rounding_allowance(metric, labels_of(500, 5), 0.9) == pytest.approx(2 / (5 * 2))
    assert rounding_allowance(metric, labels_of(5, 0, 500), 0.9) == pytest.approx(2 / (5 * 2))


def test_a_loss_may_be_off_by_a_share_of_itself():
    assert rounding_allowance("loss", labels_of(1000), 30.0) == pytest.approx(0.3)
    assert rounding_allowance("loss", labels_of(1000), 30.0, MIXED_SHARE) == pytest.approx(0.6)


@pytest.fixture
def judged(small_trial, tmp_path):
    labels = labels_of(50, 50)

    def judge(right, recorded):
        probabilities = np.eye(2)[np.where(np.arange(100) < right, labels, 1 - labels)]
        checkpoint = Checkpoint(small_trial(), 3, {}, path=tmp_path / "best.npz")
        require_as_recorded(checkpoint, labels, probabilities, recorded)

    return judge


def test_the_journal_and_what_rounding_changes_pass(judged):
    for right in (88, 89, 90, 91, 92):
        judged(right, {2: 0.1, 3: 0.9})


@pytest.mark.parametrize("right", [12, 87, 93, 100])
def test_what_rounding_does_not_explain_is_refused(judged, right):
    message = (
        rf"best\.npz: accuracy {right / 100:.4f} .* says 0\.9000 for epoch 3 \(allowed .* 0\.0200"
    )
    with pytest.raises(RecordError, match=message):
        judged(right, {3: 0.9})


def test_an_epoch_that_the_journal_lost_is_warned_of(judged, caplog):
    judged(50, {1: 0.9, 2: 0.9})
    assert "the journal holds no epoch 3" in caplog.text


def test_weights_without_a_study_have_nothing_to_be_compared_with(judged):
    judged(50, {})

"""Which files count as the trained model, decided from counts of images."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlsearch.base.errors import RecordError
from tlsearch.bundle.manifest import Artifact
from tlsearch.config.catalog import EXPORT_FORMATS
from tlsearch.training.export.soundness import Changes, require_sound


def artifact(form, parity=0.0, rounding=None):
    plain = {"bytes": 1, "sha256": "", "agreement": 1.0, "accuracy": 0.78}
    return Artifact(format=form, path="x", parity=parity, rounding=rounding, **plain)


def passes(form, pictures, worse, better=0, parity=0.0, rounding=None):
    try:
        require_sound(artifact(form, parity, rounding), Changes(pictures, worse, better))
    except RecordError:
        return False
    return True


@pytest.mark.parametrize(
    ("form", "changes", "link"),
    [
        ("keras", Changes(1000, 12, 0), "the resize inside it"),
        ("litert_int8", Changes(1000, 12, 0), "the rounding of its weights"),
        ("litert_float16", Changes(1000, 12, 0), "the rounding of its weights"),
    ],
)
def test_the_link_that_broke_is_named(form, changes, link):
    with pytest.raises(RecordError, match=f"the cause is {link}; leave this format out"):
        require_sound(artifact(form), changes)


@pytest.mark.parametrize("form", ["keras", "saved_model", "litert", "onnx"])
def test_a_file_that_computes_something_else_is_refused_whatever_it_scores(form):
    with pytest.raises(RecordError) as refused:
        require_sound(artifact(form, parity=2e-4, rounding=1e-5), Changes(1000))
    assert str(refused.value).endswith(
        "the reloaded file differs from the network in memory by 0.0002 in probability (allowed "
        f"0.0001): the conversion to {form} broke it"
    )
    assert passes(form, 1000, 0, parity=1e-4)


@pytest.mark.parametrize(
    ("rounding", "allowed"), [(None, 1e-4), (0.0, 1e-4), (1.2e-4, 4.8e-4), (1e-2, 1e-3)]
)
def test_rounding_explains_four_times_itself_up_to_a_thousandth(rounding, allowed):
    assert passes("onnx", 1000, 0, parity=allowed * 0.999, rounding=rounding)
    assert not passes("onnx", 1000, 0, parity=allowed * 1.001, rounding=rounding)


def test_an_int8_file_that_is_eight_points_worse_is_refused_and_says_so():
    """MobileNetV3Small on 100 images dropped from 0.86 to 0.78."""
    found = artifact("litert_int8", parity=0.7)
    with pytest.raises(RecordError) as refused:
        require_sound(found, Changes(100, worse=11, better=3))
    message = str(refused.value)
    assert "accuracy 0.7800 on 100 pictures, but 0.8600 in the search" in message
    assert message.endswith(
        "11 became wrong and 3 right (loss at most 0.0100 expected; McNemar p = 0.029, at least "
        "0.05 expected): the cause is the rounding of its weights; leave this format out"
    )


@pytest.mark.parametrize(
    ("form", "pictures", "lost"),
    [
        ("litert_int8", 50, 1),
        ("litert_int8", 1000, 4),  # 1 point would be 10 images, but 5 of 5 are significant
        ("litert_float16", 150, 1),
        ("litert_float16", 1000, 4),
        ("keras", 72, 2),
        ("keras", 1000, 4),
    ],
)
def test_so_many_pictures_may_be_lost_and_no_more(form, pictures, lost):
    assert passes(form, pictures, lost)
    assert not passes(form, pictures, lost + 1)


def test_a_loss_counts_however_many_pictures_became_right_instead():
    assert passes("litert_int8", 1000, worse=40, better=30)
    assert not passes("litert_int8", 1000, worse=41, better=30)
    assert not passes("litert_float16", 1000, worse=40, better=30)


rounding = st.sampled_from([row.name for row in EXPORT_FORMATS.values() if row.tolerance is None])


@given(rounding, st.integers(1, 200), st.integers(0, 200), st.integers(0, 200))
def test_a_gain_is_no_fault(form, pictures, one, other):
    worse, better = sorted((one, other))
    assert passes(form, max(pictures, worse + better), worse, better)


@given(rounding, st.integers(1, 60), st.integers(0, 60))
def test_a_file_that_fails_fails_with_one_more_picture_lost(form, worse, better):
    if not passes(form, 200, worse, better):
        assert not passes(form, 200, worse + 1, better)


def test_changes_count_pictures_by_who_is_right():
    labels = np.array([0, 0, 1, 1, 2])
    trained = np.eye(3)[[0, 0, 1, 0, 1]]
    found = np.eye(3)[[0, 1, 2, 1, 0]]
    changes = Changes.between(labels, trained, found)
    assert changes == Changes(5, worse=2, better=1)
    assert changes.loss == pytest.approx(0.2)

"""The predictions of a trial: complete, in a narrow type, and never a traceback."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tlsearch.base.errors import RecordError
from tlsearch.results.record.file_names import PREDICTIONS
from tlsearch.results.record.predictions import Predictions, load_predictions


@pytest.mark.parametrize(("classes", "kind"), [(2, "u1"), (256, "u1"), (257, "u2"), (10**5, "u4")])
def test_they_read_back_in_the_narrowest_type(tmp_path, classes, kind):
    shown = np.arange(classes, dtype=np.int32)
    Predictions(3, shown, shown[::-1]).save(tmp_path / PREDICTIONS)
    found = load_predictions(tmp_path / PREDICTIONS)
    assert found.epoch == 3
    assert found.true.tolist() == shown.tolist()
    assert found.predicted.tolist() == shown[::-1].tolist()
    assert found.true.dtype == found.predicted.dtype == kind


def test_fifty_thousand_images_of_a_thousand_classes_take_200_kb(tmp_path):
    places = np.arange(50_000) % 1000
    Predictions(1, places, places).save(tmp_path / PREDICTIONS)
    assert (tmp_path / PREDICTIONS).stat().st_size < 202_000


def test_what_was_not_kept_is_none(tmp_path):
    assert load_predictions(tmp_path / PREDICTIONS) is None


def sound(path):
    Predictions(3, np.array([0, 1, 300]), np.array([0, 1, 2])).save(path)
    return path.read_bytes()


def read(path, data):
    """Return what is wrong with a file, or None if it contains sound predictions."""
    path.write_bytes(data)
    try:
        found = load_predictions(path)
    except RecordError as error:
        return str(error)
    assert len(found.true) == len(found.predicted) > 0
    return None


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_no_damage_is_a_traceback(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("trial") / PREDICTIONS
    whole = bytearray(sound(path))
    for _ in range(data.draw(st.integers(1, 3))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    short = bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    assert str(path) in read(path, short)
    read(path, bytes(whole))


@pytest.mark.parametrize(
    "arrays",
    [
        {"epoch": np.array(1), "shown": np.array([1.5]), "called": np.array([1.5])},
        {"epoch": np.array(1), "shown": np.zeros(2, "u1"), "called": np.zeros(3, "u1")},
        {"epoch": np.array(1), "shown": np.zeros((1, 1), "u1"), "called": np.zeros((1, 1), "u1")},
        {"epoch": np.array(1), "shown": np.zeros(0, "u1"), "called": np.zeros(0, "u1")},
        {"epoch": np.array(1), "shown": np.array([{}]), "called": np.array([{}])},
        {"epoch": np.array([1, 2]), "shown": np.zeros(1, "u1"), "called": np.zeros(1, "u1")},
        {"other": np.array(1)},
    ],
)
def test_what_is_no_predictions_is_told_and_no_pickle_is_read(tmp_path, arrays):
    np.savez(tmp_path / PREDICTIONS, **arrays)
    with pytest.raises(RecordError, match="predictions"):
        load_predictions(tmp_path / PREDICTIONS)


def test_a_folder_of_that_name_is_told(tmp_path):
    (tmp_path / PREDICTIONS).mkdir()
    with pytest.raises(RecordError, match="predictions"):
        load_predictions(tmp_path / PREDICTIONS)

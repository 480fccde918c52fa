"""Probabilities of a loaded model, whatever its runtime returns."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlsearch.base.errors import PictureError
from tlsearch.bundle import open_bundle
from tlsearch.bundle.evaluate import measure
from tlsearch.bundle.open_bundle import OpenModel
from tlsearch.bundle.predict import predict_files, ranking
from tlsearch.config.catalog import EXPORT_FORMATS

PICTURES = [np.full((4, 4, 3), shade, np.uint8) for shade in range(40)]
STEP = 1 / 256  # the step of the probabilities from an int8 file


def opened(rows):
    labels = tuple(map(str, range(rows.shape[1])))
    return OpenModel(labels, EXPORT_FORMATS["litert_int8"], 4, lambda images: rows)


def rounded(seed, classes, scale=2.0):
    """Return softmax probabilities in steps of 1/256, as an int8 file returns them."""
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


class Watched:
    """A stand-in for a model file of any input size that classifies images by their mean.

    It records its inputs and how many images were in memory at once.
    """

    def __init__(self, monkeypatch, form="keras"):
        self.begun, self.given, self.waiting = 0, [], 0
        self.model = OpenModel(("dark", "light"), EXPORT_FORMATS[form], 6, self.run)
        pixels_of = open_bundle.pixels_of

        def counted(picture, bits):
            self.begun += 1
            self.waiting = max(self.waiting, self.begun - sum(map(len, self.given)))
            return pixels_of(picture, bits)

        monkeypatch.setattr(open_bundle, "pixels_of", counted)

    def run(self, images):
        self.given.append(images)
        light = images.reshape(len(images), -1).mean(axis=1) / 255
        return np.stack([1 - light, light], axis=1).astype(np.float32)


@pytest.fixture
def photos(tmp_path, picture):
    """Write 100 photos of the same size and return their paths."""
    paths = [tmp_path / f"{number:03}.png" for number in range(100)]
    for number, path in enumerate(paths):
        picture(path, number, px=12)
    return paths


@pytest.mark.parametrize(("fit", "largest"), [(1000, 32), (10, 10), (0.5, 1)])
def test_originals_of_one_size_share_batches_of_bounded_bytes(fit, largest, photos, monkeypatch):
    monkeypatch.setattr(open_bundle, "BATCH_BYTES", fit * 12 * 12 * 3)
    watched = Watched(monkeypatch)
    rows = watched.model.of_files(photos)
    assert max(map(len, watched.given)) == largest
    assert watched.waiting <= largest + open_bundle.AHEAD + 1
    alone = [watched.model([watched.model.read(path)])[0] for path in photos]
    np.testing.assert_allclose(rows, alone, rtol=1e-6)


def test_originals_become_squares_as_they_are_read(photos, monkeypatch):
    watched = Watched(monkeypatch, "onnx")
    assert watched.model.read(photos[0]).shape == (6, 6, 3)
    watched.model.of_files(photos)
    assert {images.shape[1:] for images in watched.given} == {(6, 6, 3)}


def test_an_unreadable_picture_among_many_is_told_in_its_place(photos, monkeypatch):
    photos[40].write_bytes(b"no picture")
    watched = Watched(monkeypatch)
    monkeypatch.setattr("tlsearch.bundle.predict.open_model", lambda *_: watched.model)
    found = list(predict_files(photos[0].parent, photos))
    assert [one.path for one in found] == photos
    assert [one.path for one in found if one.error] == [photos[40]]
    with pytest.raises(PictureError, match=photos[40].name):
        watched.model.of_files(photos)

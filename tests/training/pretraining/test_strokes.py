"""Laws of the drawn source task: it is repeatable, and each class is a different glyph."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tlsearch.training.pretraining.strokes import draw_strokes, random_glyph, smooth_path

sizes = st.integers(8, 40)
seeds = st.integers(0, 2**31)


@settings(max_examples=20, deadline=None)
@given(classes=st.integers(1, 4), per_class=st.integers(1, 4), image_px=sizes, seed=seeds)
def test_images_and_labels_have_the_promised_form(
    classes: int, per_class: int, image_px: int, seed: int
) -> None:
    images, labels = draw_strokes(classes, per_class, image_px, seed)
    assert images.shape == (classes * per_class, image_px, image_px, 3)
    assert (images.dtype, labels.dtype) == (np.uint8, np.int32)
    assert labels.tolist() == [c for c in range(classes) for _ in range(per_class)]
    assert (images == images[..., :1]).all()


@settings(max_examples=20, deadline=None)
@given(image_px=sizes, seed=seeds)
def test_a_larger_set_contains_the_smaller_one(image_px: int, seed: int) -> None:
    few, _ = draw_strokes(2, 2, image_px, seed)
    many, labels = draw_strokes(4, 3, image_px, seed)
    for label in range(2):
        np.testing.assert_array_equal(many[labels == label][:2], few[2 * label : 2 * label + 2])


def test_the_same_arguments_draw_the_same_images_and_another_seed_others() -> None:
    first, _ = draw_strokes(3, 2, 32, seed=7)
    np.testing.assert_array_equal(first, draw_strokes(3, 2, 32, seed=7)[0])
    assert (first != draw_strokes(3, 2, 32, seed=8)[0]).any(axis=(1, 2, 3)).all()


def test_no_two_samples_are_the_same_image() -> None:
    images, _ = draw_strokes(4, 8, 24, seed=0)
    assert len({image.tobytes() for image in images}) == len(images)


def test_every_sample_shows_ink_on_a_ground() -> None:
    images, _ = draw_strokes(20, 5, 32, seed=1)
    assert (np.ptp(images.reshape(len(images), -1), axis=1) >= 40).all()


def test_classes_differ_more_than_samples_of_a_class() -> None:
    images, labels = draw_strokes(10, 40, 24, seed=3)
    grey = images[..., 0].reshape(len(images), -1).astype(float)
    grey -= np.median(grey, axis=1, keepdims=True)
    shape = np.abs(grey) / np.linalg.norm(grey, axis=1, keepdims=True)
    known = np.arange(len(images)) % 40 < 30
    means = np.stack([shape[known & (labels == c)].mean(axis=0) for c in range(10)])
    guess = (shape[~known] @ (means / np.linalg.norm(means, axis=1, keepdims=True)).T).argmax(1)
    assert (guess == labels[~known]).mean() > 0.3


@settings(max_examples=50, deadline=None)
@given(seed=seeds)
def test_a_glyph_fills_the_image_and_its_paths_pass_through_their_control_points(
    seed: int,
) -> None:
    glyph = random_glyph(np.random.default_rng(seed))
    every = np.concatenate(glyph.strokes)
    assert np.isclose(np.abs(every).max(), 1)
    for stroke in glyph.strokes:
        path = smooth_path(stroke)
        every_step = (len(path) - 1) // (len(stroke) - 1)
        np.testing.assert_allclose(path[::every_step], stroke, atol=1e-9)

"""Near copies: what a camera or an encoder changes is near, another picture is not."""

import io
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tlsearch.data.decode import content_hashes
from tlsearch.data.near_duplicates import MOST_ROWS, NearCopies, find_near_copies


def photograph(seed: int, px: int = 96) -> np.ndarray:
    """Soft random blobs: like a photograph in that neighbouring pixels are alike."""
    rough = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(rough).resize((px, px), Image.Resampling.BICUBIC))


def as_jpeg(pixels: np.ndarray, quality: int) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


def compare(*parts: list[np.ndarray]) -> NearCopies:
    images = np.stack([image for part in parts for image in part])
    ends = np.cumsum([0, *(len(part) for part in parts)])
    rows = [np.arange(a, b) for a, b in itertools.pairwise(ends)]
    splits = {"train": rows[0], "validation": rows[1], "test": rows[2]}
    return find_near_copies(images, content_hashes(images), splits)


@settings(deadline=None, max_examples=25)
@given(st.integers(10, 10_000), st.integers(75, 95), st.integers(-12, 12))
def test_another_compression_or_brightness_is_near(seed: int, quality: int, light: int) -> None:
    original = photograph(seed)
    brighter = (original.astype(int) // 2 + 64 + light).astype(np.uint8)
    for copy in (as_jpeg(original, quality), brighter):
        found = compare([photograph(1), original], [photograph(2)], [photograph(3), copy])
        assert found.counts["train", "test"] == 1
        assert found.example == (1, 4)


@settings(deadline=None, max_examples=25)
@given(st.lists(st.integers(0, 10**6), min_size=9, max_size=9, unique=True))
def test_other_pictures_are_not_near(seeds: list[int]) -> None:
    images = [photograph(seed) for seed in seeds]
    assert not compare(images[:3], images[3:6], images[6:]).any


def test_equal_pictures_and_plain_ones_are_no_near_copies() -> None:
    plain = [np.full((96, 96, 3), shade, np.uint8) for shade in (0, 90, 255)]
    assert not compare([photograph(1), plain[0]], [photograph(1), plain[1]], [plain[2]]).any


def test_a_colour_is_part_of_a_picture() -> None:
    one = np.zeros((96, 96, 3), np.uint8)
    one[10:30, 10:30] = 255, 0, 0
    assert not compare([one], [one[..., ::-1]], [photograph(1)]).any


@pytest.mark.parametrize("px", [1, 8, 10, 17, 48])
def test_pictures_of_any_size_are_compared(px: int) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (3, px, px, 3), dtype=np.uint8)
    near = noise[0].copy()
    near[0, 0, 0] ^= 1
    found = compare([noise[0]], [noise[1]], [near])
    assert found.counts["train", "test"] == 1


def test_of_very_many_some_are_looked_at_and_it_says_how_many() -> None:
    many = np.random.default_rng(0).integers(0, 256, (MOST_ROWS + 10, 4, 4, 3), dtype=np.uint8)
    near = many[0].copy()
    near[0, 0, 0] ^= 1
    found = compare(list(many), [near], [photograph(1, 4)])
    assert str(found) == (
        "nearly the same picture in two splits: train and validation 1 of 5000, "
        "train and test 0 of 5000, validation and test 0 of 1"
    )

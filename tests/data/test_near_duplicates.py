"""Near copies: images changed by a camera or an encoder are near, different images are not."""

import io
import itertools
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tlsearch.data.decode import content_hashes
from tlsearch.data.near_duplicates import (
    BLOCK_BYTES,
    MOST_ROWS,
    SIDE,
    NearCopies,
    kept_nearest,
    near_copies,
    nearest_rows,
    signatures,
)
from tlsearch.data.splits import Indices
from tlsearch.store.arrays import ArrayStore


def photograph(seed: int, px: int = 96) -> np.ndarray:
    """Return soft random blobs, in which neighbouring pixels are similar, as in a photograph."""
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
    return near_copies(content_hashes(images), splits, nearest_rows(images, splits, threads=1))


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


def whole_signatures(images: np.ndarray) -> np.ndarray:
    """Compute `signatures` of all images at once, without blocks."""
    px = images.shape[1]
    edges = np.linspace(0, px, min(SIDE, px), endpoint=False).astype(np.int64)
    sums = np.add.reduceat(np.add.reduceat(images, edges, 1, np.int64), edges, 2)
    pixels = np.diff(np.append(edges, px))
    means = sums / (pixels[:, None, None] * pixels[None, :, None])
    flat = means.reshape(len(images), -1).astype(np.float32)
    flat -= flat.mean(axis=1, keepdims=True)
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    return np.where(length <= 1, 0, flat / np.where(length <= 1, 1, length)).astype(np.float32)


@settings(max_examples=20)
@given(st.integers(1, 40), st.integers(1, 30), st.integers(1, 4), st.integers(1, 10**5))
def test_signatures_do_not_depend_on_blocks_or_threads(
    px: int, count: int, threads: int, block_bytes: int
) -> None:
    images = np.random.default_rng(px).integers(0, 256, (count, px, px, 3), dtype=np.uint8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tlsearch.data.near_duplicates.BLOCK_BYTES", block_bytes)
        found = signatures(images, np.arange(count), threads)
    np.testing.assert_array_equal(found, whole_signatures(images))


def test_memory_does_not_grow_with_the_pictures() -> None:
    images = np.zeros((60, 384, 384, 3), np.uint8)
    tracemalloc.start()
    try:
        signatures(images, np.arange(len(images)), threads=2)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2 * 2 * BLOCK_BYTES < images.nbytes


def three_splits() -> tuple[np.ndarray, dict[str, Indices]]:
    """Return images and splits in which test contains a compressed copy of a training image."""
    pixels = [photograph(seed, 32) for seed in range(6)]
    images = np.stack([*pixels, as_jpeg(pixels[1], 90)])
    rows = np.split(np.arange(len(images)), [3, 5])
    return images, dict(zip(("train", "validation", "test"), rows, strict=True))


def test_what_was_found_is_kept_and_pictures_are_not_read_again(tmp_path: Path) -> None:
    store, (images, splits) = ArrayStore(tmp_path), three_splits()
    first = kept_nearest(images, splits, store, "key", 1)
    assert first.tolist() == nearest_rows(images, splits, 2).tolist()
    assert near_copies(content_hashes(images), splits, first).example == (1, 6)
    unread = np.zeros((0, 0, 0, 3), np.uint8)  # reading it would fail
    assert kept_nearest(unread, splits, store, "key", 1).tolist() == first.tolist()


def test_other_pictures_or_splits_are_looked_at_anew(tmp_path: Path) -> None:
    store, (images, splits) = ArrayStore(tmp_path), three_splits()
    kept_nearest(images, splits, store, "key", 1)
    moved = splits | {"train": splits["train"][1:], "test": np.append(splits["test"], 0)}
    for key, rows in (("other", splits), ("key", moved)):
        kept_nearest(images, rows, store, key, 1)
    assert len(list(tmp_path.glob("*.npy"))) == 3

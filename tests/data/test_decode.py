"""Decoding images of every common kind; errors name the path of the damaged file."""

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tlsearch.base.cores import AHEAD
from tlsearch.base.errors import DataError
from tlsearch.data.decode import BLOCK_BYTES, content_hashes, decode, read_pixels, resize
from tlsearch.data.depth import stated_depths
from tlsearch.data.listing import Example, Listing, Picture
from tlsearch.data.mistakes import MOST_SHOWN
from tlsearch.store.arrays import ArrayStore

NOISE = np.random.default_rng(0).integers(0, 256, (10, 12, 3), dtype=np.uint8)
RED = np.full((4, 4, 3), (255, 0, 0), np.uint8)


def listing_of(paths: list[Path]) -> Listing:
    examples = [Example(path.name, 0, version=str(path.stat().st_size)) for path in paths]
    return Listing("pictures", ("cat",), examples, lambda: iter(paths))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
def test_every_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "red.tif"
    (Image.fromarray(RED).convert("L") if mode == "I;16" else Image.fromarray(RED)).convert(
        mode
    ).save(path)
    pixels = read_pixels(path)
    assert (pixels.shape, pixels.dtype) == ((4, 4, 3), np.uint8)
    if mode in ("P", "RGB", "RGBA", "CMYK"):
        np.testing.assert_array_equal(pixels, RED)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_grey_of_sixteen_bits_keeps_its_shades(tmp_path: Path, suffix: str) -> None:
    grey = np.arange(0, 65536, 256, dtype=np.uint16).reshape(16, 16)
    Image.fromarray(grey).save(tmp_path / f"xray.{suffix}")
    expected = np.repeat((grey // 256).astype(np.uint8)[:, :, None], 3, axis=2)
    np.testing.assert_array_equal(read_pixels(tmp_path / f"xray.{suffix}"), expected)


def test_pixels_without_a_known_range_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "depth.tif"
    Image.fromarray(np.zeros((4, 4), np.float32)).save(path)
    with pytest.raises(DataError) as refused:
        read_pixels(path)
    assert str(refused.value) == (
        f"{path}: cannot be read (32-bit pixels have no known range; save it with 8 or 16 bits)"
    )


def test_a_photo_stands_as_its_camera_says(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned clockwise by 90 degrees
    Image.fromarray(NOISE).save(tmp_path / "photo.png", exif=exif)
    np.testing.assert_array_equal(read_pixels(tmp_path / "photo.png"), np.rot90(NOISE, -1))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF"])
@pytest.mark.filterwarnings("ignore")
@settings(deadline=None, max_examples=15)
@given(data=st.data())
def test_a_damaged_picture_is_read_or_named(
    tmp_path_factory: pytest.TempPathFactory, kind: str, data: st.DataObject
) -> None:
    buffer = io.BytesIO()
    Image.fromarray(NOISE).save(buffer, kind)
    good = buffer.getvalue()
    place = data.draw(st.integers(0, len(good) - 1))
    rest = data.draw(st.sampled_from([b"", b"\0\0\0\0" + good[place + 4 :]]))
    path = tmp_path_factory.getbasetemp() / "damaged.picture"
    path.write_bytes(good[:place] + rest)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Image, "MAX_IMAGE_PIXELS", 10_000)  # a damaged header may claim gigabytes
        try:
            printed = f"{path}: {read_pixels(path).shape[2]}"
        except DataError as error:
            printed = str(error)
    assert re.match(rf"{path}: (3$|cannot be read \(|refused, too many pixels \()", printed)


def test_what_is_not_an_image_or_not_there_says_so(tmp_path: Path) -> None:
    (tmp_path / "page.jpg").write_text("<html>404</html>")
    for name, reason in (("page.jpg", "not an image"), ("gone.jpg", "No such file")):
        with pytest.raises(DataError, match=rf"{name}: cannot be read \(.*{reason}"):
            read_pixels(tmp_path / name)


def test_a_picture_too_large_to_be_meant_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.fromarray(NOISE).save(tmp_path / "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50)
    with pytest.raises(DataError, match=r"bomb.png: refused, too many pixels \("):
        read_pixels(tmp_path / "bomb.png")


@given(st.integers(1, 20), st.integers(1, 20), st.integers(1, 20), st.integers(0, 255))
def test_a_plain_picture_stays_plain_at_any_size(
    height: int, width: int, px: int, shade: int
) -> None:
    plain = np.full((height, width, 3), shade, np.uint8)
    np.testing.assert_array_equal(resize(plain, px), np.full((px, px, 3), shade, np.uint8))


def test_shrinking_averages_rather_than_skips() -> None:
    board = np.indices((64, 64)).sum(axis=0) % 2 * 255
    small = resize(np.repeat(board.astype(np.uint8)[:, :, None], 3, axis=2), 8)
    assert np.abs(small.astype(int) - 127).max() <= 2


def test_pictures_are_decoded_once_in_the_order_of_the_listing(tmp_path: Path) -> None:
    paths = [tmp_path / f"{shade}.png" for shade in (9, 3, 7)]
    for path in paths:
        Image.new("RGB", (5, 4), (int(path.stem),) * 3).save(path)
    listing, store = listing_of(paths), ArrayStore(tmp_path / "cache")
    images = decode(listing, 6, store)
    assert images.shape == (3, 6, 6, 3)
    assert images[:, 0, 0, 0].tolist() == [9, 3, 7]
    for path in paths:
        path.unlink()
    np.testing.assert_array_equal(decode(listing, 6, store), images)


@pytest.mark.parametrize("threads", [1, 3])
def test_few_pictures_are_decoded_at_once_and_held_before_they_are_written(
    tmp_path: Path, threads: int
) -> None:
    taken, px = [0], 600
    most = AHEAD * threads + BLOCK_BYTES // (px * px * 3) + 1
    count = 2 * most

    def pictures() -> Iterator[Picture]:
        for shade in range(count):
            taken[0] += 1
            yield np.full((2, 2, 3), shade, np.uint8)

    class Watched(ArrayStore):
        def open(self, key: str, rows: int, make: Any, what: Any = None) -> Any:
            def blocks() -> Iterator[Any]:
                written = 0
                for block in make():
                    assert taken[0] - written <= most
                    written += len(block)
                    yield block

            return super().open(key, rows, blocks, what)

    listing = Listing("x", ("a",), [Example(str(row), 0) for row in range(count)], pictures)
    images = decode(listing, px, Watched(tmp_path), threads=threads)
    assert images[:, 0, 0, 0].tolist() == list(range(count))


def test_decoding_uses_the_cores_that_were_granted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def watched(function: Any, items: Any, threads: int) -> Iterator[Any]:
        asked.append(threads)
        return map(function, items)

    for module in ("decode", "depth"):
        monkeypatch.setattr(f"tlsearch.data.{module}.in_order", watched)
        monkeypatch.setattr(f"tlsearch.data.{module}.granted_cores", lambda: 3)
    Image.fromarray(NOISE).save(tmp_path / "0.png")
    listing = listing_of([tmp_path / "0.png"])
    decode(listing, 8, ArrayStore(tmp_path / "a"))
    decode(listing, 8, ArrayStore(tmp_path / "b"), threads=2)
    stated_depths(listing)
    assert asked == [3, 2, 3]


def test_all_unreadable_pictures_are_named_at_once(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number:02d}.png" for number in range(MOST_SHOWN + 5)]
    for path in paths[:-2]:
        path.write_bytes(b"")
    for path in paths[-2:]:
        Image.fromarray(NOISE).save(path)
    with pytest.raises(DataError) as refused:
        decode(listing_of(paths), 8, ArrayStore(tmp_path / "cache"))
    lines = str(refused.value).splitlines()
    assert lines[:-1] == [f"{p}: cannot be read (not an image)" for p in paths[:MOST_SHOWN]]
    assert lines[-1] == "... and 3 more"


def test_equal_hashes_are_equal_pixels() -> None:
    images = np.stack([NOISE, NOISE, NOISE[::-1]])
    first, again, other = content_hashes(images)
    assert first == again != other

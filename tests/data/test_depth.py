"""16-bit images keep every shade in the data set, and all are scaled alike."""

import io
import logging
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

from tlsearch.config.dataset import Data
from tlsearch.data import depth
from tlsearch.data.decode import decoded_key, listing_key, read_pixels
from tlsearch.data.depth import FULL, SHALLOW, UNSTATED, bits_of, to_eight_bits
from tlsearch.data.sources import ImageData, list_source, prepare

TWELVE = np.arange(0, 4096, 16, dtype=np.uint16).reshape(16, 16)
GREYS = (TWELVE >> 4).astype(np.uint8)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(values: NDArray[np.uint16], significant: bytes = b"") -> bytes:
    """Return a 16-bit PNG: (h, w) grey, (h, w, 2) with alpha, (h, w, 3) colour, (h, w, 4) both."""
    channels = values.shape[2] if values.ndim == 3 else 1
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    height, width = values.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    stated = chunk(b"sBIT", significant) if significant else b""
    body = chunk(b"IHDR", header) + stated + chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + body + chunk(b"IEND", b"")


def tiff(values: NDArray[np.uint16], **tags: Any) -> bytes:
    file, info = io.BytesIO(), TiffImagePlugin.ImageFileDirectory_v2()
    for tag, value in tags.items():
        info[int(tag[1:])] = value
    Image.fromarray(values).save(file, "TIFF", tiffinfo=info)
    return file.getvalue()


def packed_tiff(values: NDArray[np.uint16]) -> bytes:
    """Return a TIFF of 12 bits per sample, two samples in three bytes."""
    pairs = values.reshape(-1, 2).astype(np.uint32)
    whole = pairs[:, 0] << 12 | pairs[:, 1]
    body = b"".join(int(one).to_bytes(3, "big") for one in whole)
    return raw_tiff(body, values.shape, {258: [12]})


def colour_tiff(values: NDArray[np.uint16], order: str, packed: bool) -> bytes:
    """Return a TIFF of three 16-bit samples whose stated maximum is 4095."""
    body = values.astype(f"{order}u2").tobytes()
    tags = {258: [16] * 3, 259: [8 if packed else 1], 262: [2], 277: [3], 281: [4095] * 3}
    return raw_tiff(zlib.compress(body) if packed else body, values.shape, tags, order)


def raw_tiff(
    body: bytes, shape: tuple[int, ...], more: dict[int, list[int]], order: str = "<"
) -> bytes:
    """Return a TIFF of one strip with these tags; lists of numbers are stored behind the strip."""
    height, width = shape[:2]
    tags = {256: [width], 257: [height], 259: [1], 262: [1], 273: [8], 277: [1]}
    tags |= {278: [height], 279: [len(body)], **more}
    behind, entries = body + b"\0" * (len(body) % 2), b""
    for tag, numbers in sorted(tags.items()):
        value = struct.pack(f"{order}I", numbers[0])
        if len(numbers) > 1:
            value = struct.pack(f"{order}I", 8 + len(behind))
            behind += struct.pack(f"{order}{len(numbers)}I", *numbers)
        entries += struct.pack(f"{order}HHI", tag, 4, len(numbers)) + value
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8 + len(behind))
    return head + behind + struct.pack(f"{order}H", len(tags)) + entries + b"\0" * 4


STATED: dict[str, Callable[[], bytes]] = {
    "sBIT.png": lambda: png(TWELVE, b"\x0c"),
    "alpha.png": lambda: png(np.stack([TWELVE, TWELVE * 0 + 65535], axis=2), b"\x0c\x10"),
    "MaxSampleValue.tif": lambda: tiff(TWELVE, t281=4095),
    "SMaxSampleValue.tif": lambda: tiff(TWELVE, t341=4095),
    "BitsPerSample.tif": lambda: packed_tiff(TWELVE),
}


@pytest.mark.parametrize("name", STATED)
def test_a_stated_depth_is_the_scale(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(STATED[name]())
    pixels = read_pixels(tmp_path / name)
    np.testing.assert_array_equal(pixels, np.repeat(GREYS[:, :, None], 3, axis=2))
    np.testing.assert_array_equal(read_pixels(io.BytesIO(STATED[name]())), pixels)


@pytest.mark.parametrize("channels", [3, 4])
def test_colours_of_sixteen_bits_are_scaled_too(tmp_path: Path, channels: int) -> None:
    colours = np.stack([TWELVE, TWELVE[::-1], TWELVE.T, TWELVE][:channels], axis=2)
    (tmp_path / "scan.png").write_bytes(png(colours, b"\x0c" * channels))
    expected = np.stack([GREYS, GREYS[::-1], GREYS.T], axis=2)
    np.testing.assert_array_equal(read_pixels(tmp_path / "scan.png"), expected)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("packed", [False, True])
def test_colours_of_a_tiff_too(tmp_path: Path, order: str, packed: bool) -> None:
    colours = np.stack([TWELVE, TWELVE[::-1], TWELVE.T], axis=2)
    (tmp_path / "scan.tif").write_bytes(colour_tiff(colours, order, packed))
    expected = np.stack([GREYS, GREYS[::-1], GREYS.T], axis=2)
    np.testing.assert_array_equal(read_pixels(tmp_path / "scan.tif"), expected)


def palette_tiff(colours: NDArray[np.uint16]) -> bytes:
    """Return a TIFF of 2 x 2 pixels with the values 0 to 3, and their palette, (4, 3)."""
    table = np.zeros((3, 256), np.uint16)
    table[:, :4] = colours.T
    tags = {258: [8], 262: [3], 320: table.ravel().tolist()}
    return raw_tiff(bytes(range(4)), (2, 2), tags)


@pytest.mark.parametrize("bits", [8, 16])
def test_a_palette_of_eight_bits_in_sixteen_is_no_black(tmp_path: Path, bits: int) -> None:
    shades = np.arange(12, dtype=np.uint16).reshape(4, 3) * 20
    path = tmp_path / "map.tif"
    path.write_bytes(palette_tiff(shades << (bits - 8)))
    np.testing.assert_array_equal(read_pixels(path).reshape(4, 3), shades)


@pytest.mark.parametrize("most", [255, 4095, 65535])
def test_a_portable_greymap_says_its_largest_value(tmp_path: Path, most: int) -> None:
    grey = np.linspace(0, most, 256).round().reshape(16, 16)
    body = grey.astype(">u2" if most > 255 else "u1").tobytes()
    (tmp_path / "scan.pgm").write_bytes(f"P5 16 16 {most}\n".encode() + body)
    found = read_pixels(tmp_path / "scan.pgm")[..., 0].astype(int)
    assert np.abs(found - grey * 255 / most).max() <= 1


def test_samples_spread_over_sixteen_bits_as_png_wants_them_stay_as_they_are(
    tmp_path: Path,
) -> None:
    spread = (TWELVE << 4 | TWELVE >> 8).astype(np.uint16)
    (tmp_path / "scan.png").write_bytes(png(spread, b"\x0c"))
    np.testing.assert_array_equal(read_pixels(tmp_path / "scan.png")[..., 0], GREYS)


def xrays(root: Path, write: Callable[[NDArray[np.uint16]], bytes] = png, most: int = 4000) -> Path:
    """Write two classes of thirty images; one image has the largest value of all, `most`."""
    rng = np.random.default_rng(0)
    for label, name in enumerate(("clear", "shadow")):
        (root / name).mkdir(parents=True)
        for number in range(30):
            grey = rng.integers(0, most // 4 + most // 4 * label, (9, 9), dtype=np.uint16)
            if (label, number) == (1, 7):
                grey[0, 0] = most
            (root / name / f"{number:02d}.png").write_bytes(write(grey))
    return root


def ready(root: Path, cache: str = "cache", **keys: Any) -> ImageData:
    return prepare(Data(path=root, image_px=9, **keys), root.parent / cache)


NOTE = "16-bit pictures: 60 state no bit depth and are read as 12-bit (their largest value is 4000)"


def test_pictures_that_state_nothing_are_scaled_by_the_largest_value_of_the_data_set(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = xrays(tmp_path / "xrays")
    data = ready(root)
    every = np.load(data.images_path)
    listing = list_source(Data(path=root))
    for row, picture in enumerate(listing.pictures()):
        values = np.asarray(Image.open(picture))  # type: ignore[arg-type]
        np.testing.assert_array_equal(every[row, :, :, 0], values >> 4)
    assert data.bits == {UNSTATED: 12}
    assert NOTE in data.notes
    assert NOTE in caplog.messages
    np.testing.assert_array_equal(np.load(ready(root).images_path), every)


def test_an_array_that_was_scaled_wrongly_is_not_taken_again(tmp_path: Path) -> None:
    root = xrays(tmp_path / "xrays")
    old, new = ready(root, rules=1), ready(root)
    assert old.images_path != new.images_path
    assert old.images_path.stem == listing_key(list_source(Data(path=root)), 9)
    assert np.load(old.images_path).max() == 15
    assert np.load(new.images_path).max() == 250
    assert ready(root, rules=1).fingerprint == old.fingerprint != new.fingerprint


def test_the_key_is_as_it_was_where_pictures_are_read_as_they_were(tmp_path: Path) -> None:
    root = xrays(tmp_path / "xrays", most=60000)
    old, new = ready(root, rules=1), ready(root, cache="other")
    assert old.images_path.stem == new.images_path.stem
    np.testing.assert_array_equal(np.load(old.images_path), np.load(new.images_path))
    assert not any("16-bit" in note for note in new.notes)
    listing = list_source(Data(kind="digits"))
    assert bits_of(depth.stated_depths(listing)) == {}
    assert decoded_key(listing, 48, {}) == listing_key(listing, 48)


def test_mixed_statements_are_scaled_each_by_its_own(tmp_path: Path) -> None:
    root = xrays(tmp_path / "xrays")
    (root / "clear/sbit.png").write_bytes(png(TWELVE[:9, :9] >> 2, b"\x0a"))
    data = ready(root)
    assert data.bits == {UNSTATED: 12, 10: 10}
    assert any("1 state a bit depth of 10 and are read as 10-bit" in note for note in data.notes)


@given(
    st.lists(st.tuples(st.sampled_from([SHALLOW, UNSTATED, 10, 12, FULL]), st.integers(0, 65535)))
)
def test_the_depth_holds_every_value_and_is_the_least(rows: list[tuple[int, int]]) -> None:
    bits = bits_of(np.array(rows, np.uint16).reshape(-1, 2))
    assert set(bits) == {stated for stated, _ in rows} - {SHALLOW}
    for stated, read in bits.items():
        largest = max(value for printed, value in rows if printed == stated)
        assert largest < 1 << read
        assert read in (stated, FULL) or stated == UNSTATED
        assert stated != UNSTATED or read == 1 or largest >= 1 << (read - 1)


@given(st.integers(1, 16), st.lists(st.integers(0, 65535), min_size=1))
def test_scaling_keeps_the_order_and_ends_at_white(bits: int, values: list[int]) -> None:
    shades = to_eight_bits(UNSTATED, np.array([sorted(values)], np.uint16), {UNSTATED: bits})
    assert (np.diff(shades[0].astype(int)) >= 0).all()
    white = to_eight_bits(UNSTATED, np.array([[0, (1 << bits) - 1]], np.uint16), {UNSTATED: bits})
    assert white.tolist() == [[0, 255]]


def test_a_lone_picture_of_unknown_depth_is_told_of_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(depth, "_reported", [])
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(png(TWELVE))
        assert read_pixels(tmp_path / name).max() == 15
    assert caplog.record_tuples == [
        (
            "tlsearch.data.depth",
            logging.WARNING,
            f"{tmp_path}/a.png: a 16-bit picture that states no depth and has no value above "
            "4080 is read as 16 bits; if it uses fewer bits, it becomes too dark. Further such "
            "pictures are not reported",
        )
    ]


def test_a_turned_picture_is_turned_at_any_depth(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    for name, values in (("grey", TWELVE), ("colour", np.stack([TWELVE] * 3, axis=2))):
        body = png(values, b"\x0c" * (1 if values.ndim == 2 else 3))
        turned = chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"))
        (tmp_path / name).write_bytes(body[:33] + turned + body[33:])
        np.testing.assert_array_equal(read_pixels(tmp_path / name)[..., 0], np.rot90(GREYS, -1))

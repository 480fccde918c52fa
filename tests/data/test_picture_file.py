"""Properties of an image known before it is decoded, and images refused because of them."""

import io
import os
import pickle
import socket
import struct
import threading
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from odd_pictures import chunk, grey_rows, jpeg_of_scans, odd_exifs, png, tiled_tiff, with_exif
from PIL import EpsImagePlugin, Image

from tlsearch.base.errors import ConfigError, PictureError, PictureFormatError, PictureSizeError
from tlsearch.data import decode as decoding
from tlsearch.data.decode import decode, partial_key, read_pixels, read_square
from tlsearch.data.listing import Example, Listing
from tlsearch.data.picture_file import (
    FORMATS,
    LIMIT,
    MOST_PIXELS,
    DecodingBudget,
    bytes_to_decode,
    open_picture,
)
from tlsearch.store.arrays import ArrayStore

MEBI = 2**20


def encoded(form: str, size: tuple[int, int] = (12, 10)) -> bytes:
    file = io.BytesIO()
    Image.linear_gradient("L").resize(size).convert("RGB").save(file, form)
    return file.getvalue()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_odd_exif_is_a_picture_or_a_picture_that_cannot_be_read(form: str) -> None:
    turned, reasons = 0, []
    for block in odd_exifs(seed=0, count=300):
        try:
            turned += read_pixels(io.BytesIO(with_exif(block, form))).shape == (12, 10, 3)
        except PictureError as error:
            reasons.append(error.reason)
    assert turned > 100
    assert reasons[0] == (
        "cannot be read (its EXIF block is damaged: required argument is not an integer)"
    )
    assert all(reason.startswith("cannot be read (") for reason in reasons)


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


def a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(path))  # a socket's path must be short


def a_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("make", [a_pipe, a_socket, a_device, Path.mkdir])
def test_what_is_no_file_is_never_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], None]
) -> None:
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "0.png")
    what = "a folder" if make is Path.mkdir else make.__name__.replace("_", " ")
    with pytest.raises(PictureError) as refused:
        read_pixels(tmp_path / "0.png")
    assert str(refused.value) == f"{tmp_path}/0.png: cannot be read ({what}, expected a file)"


def test_postscript_never_reaches_ghostscript(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "page.eps", "EPS")
    (tmp_path / "page.eps").rename(tmp_path / "photo.jpg")
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *asked: pytest.fail("was started"))
    with pytest.raises(PictureFormatError, match=r"photo\.jpg: cannot be read \(not an image\)"):
        read_pixels(tmp_path / "photo.jpg")


@pytest.mark.parametrize("form", FORMATS)
def test_one_limit_for_every_format(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    (tmp_path / "picture").write_bytes(encoded(form))
    monkeypatch.setenv(LIMIT, "120")
    assert read_pixels(tmp_path / "picture").shape == (10, 12, 3)
    monkeypatch.setenv(LIMIT, "119")
    with pytest.raises(PictureSizeError) as refused:
        read_pixels(tmp_path / "picture")
    assert refused.value.reason == (
        "refused, too many pixels (12 x 10, at most 119; "
        f"the environment variable {LIMIT} sets another limit)"
    )


@pytest.mark.parametrize("size", [(6000, 4000), (8192, 6144), (9280, 6944)])
def test_the_limit_admits_what_cameras_write(size: tuple[int, int]) -> None:
    with open_picture(io.BytesIO(png(*size, grey_rows(1, 1)))) as (image, _):
        assert image.size == size
        assert bytes_to_decode(image) >= 10 * image.width * image.height


@pytest.mark.parametrize("size", [(8192, 8193), (13_000, 13_000), (10**5, 10**5)])
def test_a_bomb_is_refused_by_its_header(size: tuple[int, int]) -> None:
    with pytest.raises(PictureSizeError, match=f"at most {MOST_PIXELS};"):
        read_pixels(io.BytesIO(png(*size, grey_rows(1, 1))))


def test_a_limit_above_pillows_own_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
    monkeypatch.setenv(LIMIT, str(10**9))
    with open_picture(io.BytesIO(png(20_000, 20_000, grey_rows(1, 1)))) as (image, _):
        assert image.size == (20_000, 20_000)


@pytest.mark.parametrize("printed", ["", "0", "-1", "64e6", "lots", "²", "9" * 5000])
def test_a_limit_that_is_no_number_is_the_users_mistake(
    monkeypatch: pytest.MonkeyPatch, printed: str
) -> None:
    monkeypatch.setenv(LIMIT, printed)
    with pytest.raises(ConfigError, match=rf"{LIMIT}: found .*, expected a number of pixels"):
        read_pixels(io.BytesIO(encoded("PNG")))


def test_pictures_left_out_at_one_limit_are_looked_at_again_at_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    key = partial_key("key")
    monkeypatch.setenv(LIMIT, str(MOST_PIXELS))
    assert partial_key("key") == key
    monkeypatch.setenv(LIMIT, "1000")
    assert partial_key("key") != key


def test_a_frame_larger_than_its_screen_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = bytearray(encoded("GIF"))
    whole[6:10] = struct.pack("<HH", 1, 1)
    monkeypatch.setenv(LIMIT, "100")
    with pytest.raises(PictureSizeError):
        read_pixels(io.BytesIO(bytes(whole)))


def test_a_tile_larger_than_its_picture_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LIMIT, str(64 * 64))
    assert read_pixels(io.BytesIO(tiled_tiff(64))).shape == (16, 16, 3)
    with pytest.raises(PictureSizeError):
        read_pixels(io.BytesIO(tiled_tiff(80)))


def test_a_jpeg_that_is_decoded_again_and_again_is_refused() -> None:
    assert read_pixels(io.BytesIO(jpeg_of_scans(100))).shape == (10, 12, 3)
    with pytest.raises(PictureError, match=r"cannot be read \(a JPEG of more than 200 scans\)"):
        read_pixels(io.BytesIO(jpeg_of_scans(200)))


def test_what_follows_a_jpeg_is_not_counted() -> None:
    film = b"\xff\xda" * 1000  # phones append a video to a picture
    assert read_pixels(io.BytesIO(jpeg_of_scans(0) + film)).shape == (10, 12, 3)


def test_a_huge_file_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(LIMIT, "120")
    with (tmp_path / "0.webp").open("wb") as file:
        file.write(encoded("WEBP"))
        file.truncate(65 * MEBI)
    with pytest.raises(PictureSizeError, match=r"too many bytes \(68157440, at most 67109824;"):
        read_pixels(tmp_path / "0.webp")


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt"])
@pytest.mark.parametrize("last", [True, False])
def test_texts_are_not_unpacked_without_end(kind: bytes, last: bool) -> None:
    head = {b"zTXt": b"a\0\0", b"iTXt": b"a\0\1\0\0\0"}[kind]
    text, rows = chunk(kind, head + zlib.compress(bytes(4 * MEBI))), grey_rows(4, 4)
    with pytest.raises(PictureError, match="too large"):
        read_pixels(io.BytesIO(png(4, 4, *((rows, text) if last else (text, rows)))))


def test_frames_after_the_first_are_not_decoded() -> None:
    first = encoded("GIF")[:-1]
    frame = b"," + struct.pack("<HHHHB", 0, 0, 60_000, 60_000, 0) + b"\x08\x02\0\0\0;"
    assert read_pixels(io.BytesIO(first + frame)).shape == (10, 12, 3)


def test_memory_is_counted_by_depth_and_size() -> None:
    deep, shallow = io.BytesIO(), io.BytesIO()
    Image.fromarray(np.zeros((10, 12), np.uint16)).save(deep, "PNG")
    Image.fromarray(np.zeros((10, 12), np.uint8)).save(shallow, "PNG")
    with open_picture(deep) as (one, _), open_picture(shallow) as (other, _):
        assert bytes_to_decode(one) == 2 * bytes_to_decode(other) == 32 * 120


def test_the_budget_bounds_what_is_in_flight_and_lets_everything_through() -> None:
    budget, lock, taken, most = DecodingBudget(10), threading.Lock(), [0], []

    def take(count: int) -> None:
        with budget.reserve(count):
            with lock:
                taken[0] += count
                most.append(taken[0])
            with lock:
                taken[0] -= count

    counts = [1, 4, 25, 3, 10, 7] * 50
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(take, counts))
    assert len(most) == len(counts)
    assert max(most) == 25  # the count of 25 exceeds the budget, so it runs alone
    assert taken == [0]


def test_decoding_keeps_to_the_budget_until_pictures_are_small(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(8):
        (tmp_path / f"{number}.png").write_bytes(encoded("PNG"))
    paths = sorted(tmp_path.iterdir())
    expected = [read_square(path, {}, 4) for path in paths]
    inside, lock, resize = [0], threading.Lock(), decoding.resize

    def alone(pixels: np.ndarray, image_px: int) -> np.ndarray:
        with lock:
            inside[0] += 1
            assert inside[0] == 1
        small = resize(pixels, image_px)
        with lock:
            inside[0] -= 1
        return small

    budget = DecodingBudget(1)
    monkeypatch.setattr(decoding, "decoding_budget", lambda: budget)
    monkeypatch.setattr(decoding, "resize", alone)
    examples = [Example(path.name, 0) for path in paths]
    listing = Listing("pictures", ("a",), examples, lambda: iter(paths))
    images = decode(listing, 4, ArrayStore(tmp_path / "cache"))
    np.testing.assert_array_equal(images, expected)


@pytest.mark.parametrize("kind", [PictureError, PictureFormatError, PictureSizeError])
def test_its_errors_travel_between_processes(kind: type[PictureError]) -> None:
    again = pickle.loads(pickle.dumps(kind("cat.png", "cannot be read")))
    assert (type(again), str(again), again.reason) == (
        kind,
        "cat.png: cannot be read",
        "cannot be read",
    )

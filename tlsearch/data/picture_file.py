"""Pictures that are opened but not decoded: their format, size and memory needs are known."""

import functools
import os
import re
import stat
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile

from tlsearch.base.errors import (
    ConfigError,
    PictureError,
    PictureFormatError,
    PictureSizeError,
)
from tlsearch.base.machine import memory_bytes
from tlsearch.base.shown_text import to_storable

# The formats that are tried, whatever the file's suffix. EPS is not: it starts Ghostscript.
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM", "JPEG2000", "AVIF")
MOST_PIXELS = 2**26  # more than a camera of 64 megapixels writes
LIMIT = "TLSEARCH_MAX_PIXELS"  # the environment variable that sets another limit

_STORED_BYTES = 8  # per pixel in a file: four samples of 16 bits
_OTHER_BYTES = 2**26  # in a file besides the pixels: profiles, previews, further frames
# Memory per pixel while a picture is decoded, rotated and resized: the largest measured for each
# kind. Some decoders keep the whole picture in a form of their own.
_BYTES, _WHOLE_BYTES, _DEEP_BYTES = 16, 24, 32
_AVIF_BYTES = 2**29  # whatever its header says: libavif decodes up to 16384 x 16384
_LEAST_BUDGET = 2**30

_TILE_WIDTH, _TILE_LENGTH = 322, 323  # tags of TIFF
_MOST_SCANS = 200  # of a JPEG; 10 are usual, and each takes a pass over all pixels
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # of a JPEG, such as ends a scan's data
_SCAN, _END = 0xDA, 0xD9

_ADVICE = f"the environment variable {LIMIT} sets another limit"

# Type of a path that is not a regular file -> its name in messages.
_OTHERS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}

# Pillow only warns above its own limit; above ours a picture is refused.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
# The C library returns blocks above 32 MiB to the system; each thread keeps smaller ones.
Image.core.set_block_size(2**26)  # type: ignore[attr-defined]


@contextmanager
def open_picture(picture: Path | BinaryIO) -> Iterator[tuple[Image.Image, BinaryIO]]:
    """Open a picture and read its header; yields the image and its file, for the block to decode.

    Raises PictureError if the picture is damaged, in an unknown format, too large or not a regular
    file (it never waits for a pipe), and for any error that the block raises, as Pillow does.
    """
    name, most = to_storable(picture) if isinstance(picture, Path) else "the picture", most_pixels()
    try:
        with _bytes_of(picture, most) as file, _image_of(file, most) as image:
            yield image, file
    except _TooLargeError as error:
        raise PictureSizeError(name, str(error)) from error
    except UnidentifiedImageError as error:
        raise PictureFormatError(name, "cannot be read (not an image)") from error
    except Exception as error:  # Pillow raises many kinds for damaged pictures and odd EXIF
        raise PictureError(name, f"cannot be read ({_reason(error)})") from error


def reopen_picture(file: BinaryIO) -> Image.Image:
    """Open the picture of an open file again, from its first byte."""
    file.seek(0)
    return Image.open(file, formats=_formats())


def decode_upright(image: Image.Image) -> Image.Image:
    """Decode the picture and rotate it in place by its EXIF orientation."""
    image.load()
    try:
        ImageOps.exif_transpose(image, in_place=True)
    except Exception as error:  # it rewrites the rest of the EXIF block, whatever that holds
        raise ValueError(f"its EXIF block is damaged: {_reason(error)}") from error
    return image


def regular_file(path: Path) -> BinaryIO:
    """Open a file for reading; raises OSError for a folder, a pipe, a socket or a device."""
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        os.scandir(path).close()  # raises the right error if access is denied
    if not stat.S_ISREG(mode):
        raise OSError(f"{_OTHERS.get(stat.S_IFMT(mode), 'a special file')}, expected a file")
    return open(path, "rb", opener=_at_once)


def most_pixels() -> int:
    """The number of pixels that a picture may have.

    Raises ConfigError if the environment variable holds no positive number.
    """
    text = os.environ.get(LIMIT, str(MOST_PIXELS))
    if not (text.isascii() and text.isdigit() and len(text) <= 15 and int(text) > 0):
        raise ConfigError([f"{LIMIT}: found {text[:40]!r}, expected a number of pixels"])
    return int(text)


def bytes_to_decode(image: Image.Image) -> int:
    """The memory, in bytes, for decoding and resizing an opened picture."""
    raw_modes = [str(tile[3]) for tile in getattr(image, "tile", ())]
    if image.mode[0] in "IF" or any(";16" in mode for mode in raw_modes):
        return _pixels(image) * _DEEP_BYTES
    whole = image.format in ("WEBP", "JPEG2000") or "progressive" in image.info
    count = _pixels(image) * (_WHOLE_BYTES if whole else _BYTES)
    return max(count, _AVIF_BYTES) if image.format == "AVIF" else count


class DecodingBudget:
    """A limit on the memory of pictures that are decoded at the same time; threads wait for it.

    First come, first served. A picture larger than the whole budget is decoded alone.
    """

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self._held = 0
        self._turn = threading.Lock()
        self._changed = threading.Condition()

    @contextmanager
    def reserve(self, count: int) -> Iterator[None]:
        """Wait for this many bytes and hold them until the block ends."""
        with self._turn, self._changed:
            self._changed.wait_for(lambda: not self._held or self._held + count <= self.most_bytes)
            self._held += count
        try:
            yield
        finally:
            with self._changed:
                self._held -= count
                self._changed.notify_all()


_budget = DecodingBudget(max(_LEAST_BUDGET, memory_bytes() // 8))


def decoding_budget() -> DecodingBudget:
    """The budget of this process: an eighth of the machine's memory, at least 1 GiB."""
    return _budget


class _TooLargeError(Exception):
    """The picture has more pixels, or bytes, than are allowed."""


@contextmanager
def _bytes_of(picture: Path | BinaryIO, most: int) -> Iterator[BinaryIO]:
    if not isinstance(picture, Path):
        yield picture
        return
    with regular_file(picture) as file:
        size, taken = os.fstat(file.fileno()).st_size, most * _STORED_BYTES + _OTHER_BYTES
        if size > taken:  # Pillow reads some formats whole before it looks at the header
            raise _TooLargeError(f"refused, too many bytes ({size}, at most {taken}; {_ADVICE})")
        yield file


@contextmanager
def _image_of(file: BinaryIO, most: int) -> Iterator[Image.Image]:
    """Open the picture of a file; raises _TooLargeError if it has more than `most` pixels."""
    if most > MOST_PIXELS and most > (Image.MAX_IMAGE_PIXELS or most):
        Image.MAX_IMAGE_PIXELS = most
    try:
        image = reopen_picture(file)
    except Image.DecompressionBombError as error:
        raise _TooLargeError(f"refused, too many pixels (at most {most}; {_ADVICE})") from error
    with image:
        if _pixels(image) > most:
            size = f"{image.width} x {image.height}"
            raise _TooLargeError(f"refused, too many pixels ({size}, at most {most}; {_ADVICE})")
        if isinstance(image, JpegImageFile):
            _require_few_scans(file, 3 * _pixels(image) + _OTHER_BYTES)
        yield image


def _pixels(image: Image.Image) -> int:
    """The number of pixels to decode: those of a TIFF's tile if it is larger than the picture."""
    tags = getattr(image, "tag_v2", {})
    tile = int(tags.get(_TILE_WIDTH, 0)) * int(tags.get(_TILE_LENGTH, 0))
    return max(image.width * image.height, tile)


def _require_few_scans(file: BinaryIO, most_bytes: int) -> None:
    """Raise ValueError for a JPEG with so many scans that decoding would take hours."""
    place = file.tell()
    file.seek(0)
    data = file.read(most_bytes)
    file.seek(place)
    scans, at = 0, 2
    while (found := _MARKER.search(data, at)) and data[found.start() + 1] != _END:
        scans += data[found.start() + 1] == _SCAN
        if scans > _MOST_SCANS:
            raise ValueError(f"a JPEG of more than {_MOST_SCANS} scans")
        at = found.end() + int.from_bytes(data[found.end() : found.end() + 2], "big")


def _at_once(path: str, flags: int) -> int:
    """Open without waiting for a writer, in case the path has become a pipe."""
    return os.open(path, flags | os.O_NONBLOCK)


@functools.cache
def _formats() -> tuple[str, ...]:
    """The formats of FORMATS that this Pillow supports."""
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def _reason(error: Exception) -> str:
    """The message of an error in one line, at most 200 characters."""
    reason = str(getattr(error, "strerror", None) or error) or type(error).__name__
    return to_storable(" ".join(reason.split()))[:200]

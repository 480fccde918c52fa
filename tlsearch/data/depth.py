"""16-bit pictures: the bit depth that each one states, and the depth at which it is read."""

import itertools
import logging
import re
import struct
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tlsearch.base.cores import granted_cores, in_order
from tlsearch.base.errors import PictureError
from tlsearch.base.phases import counting_each, phase_counter
from tlsearch.data.listing import Listing, Picture
from tlsearch.data.picture_file import (
    bytes_to_decode,
    decode_upright,
    decoding_budget,
    open_picture,
    regular_file,
    reopen_picture,
)

# Stated depth of a 16-bit picture (0: none) -> the depth at which it is read. A picture whose
# stated depth is missing here is judged by itself. None instead of a mapping keeps the upper byte
# of every picture, whatever depth it states.
Bits = Mapping[int, int]
Values = NDArray[np.uint16]

ALONE: Bits = MappingProxyType({})
UNSTATED = 0
FULL = 16
FULL_WHITE = 65535
SHALLOW = 255  # in place of a stated depth: a picture of 8 bits or fewer, or an unreadable one

_FILES = 128  # in one task of a thread, since most need only their first bytes
_COLOUR_MAP = 320  # tag of TIFF
_BITS_PER_SAMPLE, _MAX_SAMPLE, _SAMPLE_MAX = 258, 281, 341  # tags of TIFF
_PNG, _TIFFS = b"\x89PNG\r\n\x1a\n", (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_SCALED = ("PPM", "JPEG2000")  # Pillow scales their values to all 16 bits

log = logging.getLogger(__name__)


def stated_depths(listing: Listing, threads: int | None = None) -> Values:
    """The stated depth and the largest value of each picture, (n, 2), as `bits_of` needs them."""
    pictures = listing.pictures()
    first = list(itertools.islice(pictures, 1))
    if first and isinstance(first[0], np.ndarray) and first[0].dtype == np.uint8:
        return np.tile(np.array((SHALLOW, 0), np.uint16), (len(listing.examples), 1))
    together = _FILES if first and isinstance(first[0], Path) else 1
    blocks = _in_blocks(itertools.chain(first, pictures), together)
    found = in_order(
        lambda block: [_depth_of(one) for one in block], blocks, threads or granted_cores()
    )
    pairs = counting_each((pair for block in found for pair in block), phase_counter("reading"))
    return np.array([*pairs], np.uint16).reshape(-1, 2)


def _in_blocks(pictures: Iterator[Picture], count: int) -> Iterator[list[Picture]]:
    while block := list(itertools.islice(pictures, count)):
        yield block


def _depth_of(picture: Picture) -> tuple[int, int]:
    if isinstance(picture, np.ndarray):
        return (
            (UNSTATED, int(picture.max(initial=0))) if picture.dtype == np.uint16 else (SHALLOW, 0)
        )
    try:
        found = _deep_file(picture)
    except (OSError, PictureError):  # decoding reports it
        found = None
    return (SHALLOW, 0) if found is None else (found[0], int(found[1].max(initial=0)))


def _deep_file(path: Path) -> tuple[int, Values] | None:
    if not _may_be_deep(path):
        return None
    with open_picture(path) as (image, file), decoding_budget().reserve(bytes_to_decode(image)):
        return deep_values(image, file)


def _may_be_deep(path: Path) -> bool:
    """Whether a file may be a 16-bit picture, by its first bytes: a 16-bit PNG or any TIFF."""
    with regular_file(path) as file:
        head = file.read(25)
    return head[:4] in _TIFFS or (head[:8] == _PNG and head[24:] == bytes([FULL]))


def bits_of(found: Values) -> dict[int, int]:
    """Stated depth -> depth at which the pictures of a data set are read; {} without 16-bit ones.

    Pictures that state no depth are read at the smallest depth that holds the largest value of them
    all. Pictures that state 12 bits, for example, are read at 12 bits, unless one of them has a
    larger value: then their values are scaled to all 16 bits, as the PNG specification requires.
    """
    stated = sorted({*found[:, 0].tolist()} - {SHALLOW})
    return {bits: _read_at(bits, int(found[found[:, 0] == bits, 1].max())) for bits in stated}


def _read_at(stated: int, largest: int) -> int:
    if stated == UNSTATED:
        return max(1, largest.bit_length())
    return stated if largest < 1 << stated else FULL


def all_full(bits: Bits | None) -> bool:
    """Whether pictures are read as by earlier versions, which took every depth as 16 bits."""
    return bits is None or set(bits.values()) <= {FULL}


def depth_note(found: Values, bits: Bits) -> str | None:
    """A sentence on the 16-bit pictures that are read at a lower depth; None if there are none."""
    parts = []
    for stated in (stated for stated in bits if bits[stated] != FULL):
        rows = found[:, 0] == stated
        claim = "no bit depth" if stated == UNSTATED else f"a bit depth of {stated}"
        why = f" (their largest value is {found[rows, 1].max()})"
        read = f"{rows.sum()} state {claim} and are read as {bits[stated]}-bit"
        parts.append(read + (why if stated == UNSTATED else ""))
    return f"16-bit pictures: {', '.join(parts)}" if parts else None


def deep_values(image: Image.Image, file: BinaryIO) -> tuple[int, Values] | None:
    """The stated depth and the values of a 16-bit picture; None for any other picture.

    The values are (height, width) or (height, width, 3), rotated by the EXIF orientation. `image`
    is `file` opened.
    """
    kind = _kind(image)
    if kind is None:
        return None
    stated = _stated_depth(image)
    if kind == "grey":
        return stated, np.asarray(decode_upright(image)).astype(np.uint16)
    if kind == "palette":
        colours = np.array(image.tag_v2[_COLOUR_MAP], np.uint16)  # type: ignore[attr-defined]
        return 8, colours.reshape(3, -1).T[np.asarray(decode_upright(image))]
    if kind == "LA;16B":  # four bytes per pixel: grey, then alpha
        raw = _unpacked_as(image, "RGBA")
        return stated, _join_bytes(raw[..., 0], raw[..., 1])
    upper = np.asarray(decode_upright(image)).astype(np.uint16)
    with reopen_picture(file) as again:
        lower = _unpacked_as(again, _lower_bytes(kind))
    return stated, _join_bytes(upper, lower)[..., :3]


def _join_bytes(upper: Values, lower: Values) -> Values:
    return np.asarray(upper << 8 | lower, np.uint16)


def _kind(image: Image.Image) -> str | None:
    """The kind of a 16-bit picture; None for a picture that Pillow reads without loss.

    `grey`; `palette` if its 16-bit colours hold 8-bit values; or the raw mode of a colour picture
    whose lower bytes Pillow drops.
    """
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in (*_SCALED, "PNG")):
        return "grey"
    if (
        image.mode == "P"
        and max(getattr(image, "tag_v2", {}).get(_COLOUR_MAP, (FULL_WHITE,))) < 256
    ):
        return "palette"
    modes = {_raw_mode(tile.args) for tile in getattr(image, "tile", ())}
    mode = modes.pop() if len(modes) == 1 else ""
    return mode if mode == "LA;16B" or re.fullmatch(r"RGB[AX]?;16[BLN]", mode) else None


def _raw_mode(args: Any) -> str:
    return str(args[0] if isinstance(args, tuple) and args else args)


def _lower_bytes(mode: str) -> str:
    """The raw mode of the opposite byte order, whose upper bytes are the lower bytes of `mode`."""
    little = mode[-1] == "L" or (mode[-1] == "N" and sys.byteorder == "little")
    return mode[:-1] + ("B" if little else "L")


def _unpacked_as(image: Any, mode: str) -> Values:
    """The pixels, decoded with another raw mode."""
    image.tile = [
        tile._replace(args=(mode, *tile.args[1:]) if isinstance(tile.args, tuple) else mode)
        for tile in image.tile
    ]
    return np.asarray(decode_upright(image)).astype(np.uint16)


def _stated_depth(image: Any) -> int:
    """The depth that a 16-bit file states, UNSTATED if it states none."""
    if image.format in _SCALED:
        return FULL
    if image.format == "PNG":
        return _significant_bits(image.fp)
    tags = getattr(image, "tag_v2", {})
    if (held := max(tags.get(_BITS_PER_SAMPLE, (FULL,)))) < FULL:
        return int(held)
    for tag in (_MAX_SAMPLE, _SAMPLE_MAX):
        values = tags.get(tag, ())
        largest = int(max(values if isinstance(values, tuple) else (values,), default=0))
        if largest > 1 and (largest + 1).bit_count() == 1:  # else just this picture's largest value
            return min(largest.bit_length(), FULL)
    return UNSTATED


def _significant_bits(file: BinaryIO) -> int:
    """The depth in the sBIT chunk of a PNG, without alpha's; the file position is restored."""
    place, found = file.tell(), UNSTATED
    file.seek(len(_PNG))
    while len(head := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        if kind == b"sBIT" and length <= 4:
            raw = file.read(length)
            found = max(raw[: 1 if length < 3 else 3], default=UNSTATED)
        if kind in (b"sBIT", b"IDAT"):
            break
        file.seek(length + 4, 1)
    file.seek(place)
    return found if found <= FULL else UNSTATED


def to_eight_bits(stated: int, values: Values, bits: Bits, name: object = "") -> NDArray[np.uint8]:
    """The values scaled to 0 ... 255; those above the depth at which they are read become white."""
    largest = int(values.max(initial=0))
    depth = bits.get(stated)
    if depth is None:
        depth = FULL if stated == UNSTATED else _read_at(stated, largest)
        if stated == UNSTATED and largest.bit_length() < FULL:
            _tell_of_dark(name, largest)
    top = (1 << depth) - 1
    held = np.minimum(values, top)
    return (held >> (depth - 8) if depth >= 8 else held * np.uint16(255) // top).astype(np.uint8)


_reported: list[object] = []


def _tell_of_dark(name: object, largest: int) -> None:
    """Warn, once per process, of a single picture whose depth is unknown."""
    if not _reported:
        _reported.append(name)
        log.warning(
            "%s: a 16-bit picture that states no depth and has no value above %d is read as 16 "
            "bits; if it uses fewer bits, it becomes too dark. Further such pictures are not "
            "reported",
            name,
            largest,
        )

"""Pictures -> squares of one size, decoded once per data set and kept as a memory-mapped array."""

import hashlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tlsearch.base.array_types import Pixels
from tlsearch.base.cores import granted_cores, in_order
from tlsearch.base.errors import PictureError
from tlsearch.base.phases import Counter, counting_each, phase
from tlsearch.base.shown_text import to_storable
from tlsearch.data.depth import ALONE, UNSTATED, Bits, all_full, deep_values, to_eight_bits
from tlsearch.data.listing import Listing, Picture
from tlsearch.data.mistakes import mistakes_error
from tlsearch.data.picture_file import (
    MOST_PIXELS,
    bytes_to_decode,
    decode_upright,
    decoding_budget,
    most_pixels,
    open_picture,
)
from tlsearch.store.arrays import ArrayStore
from tlsearch.store.caches import make_room

BLOCK_BYTES = 2**24  # of decoded images that are written at a time
HASHED_BYTES = 2**24  # of pixels that a thread hashes at a time

# Called with the errors of a listing's unreadable images, by row, once all images were tried.
Failed = Callable[[dict[int, PictureError]], None]


@dataclass(frozen=True, eq=False)
class Decoded:
    """The decoded images of a listing, (n, px, px, 3) uint8, and the key of their array.

    `readable`, (n,) bool, marks the images that could be read; the others are black.
    """

    key: str
    images: Pixels
    readable: NDArray[np.bool_]


def decode(
    listing: Listing,
    image_px: int,
    store: ArrayStore,
    bits: Bits | None = ALONE,
    threads: int | None = None,
) -> Pixels:
    """Decode all images, (n, image_px, image_px, 3) uint8, in the order of the listing.

    They are decoded in `threads` threads, by default one for each granted core, and resized without
    keeping the aspect ratio, bilinear and antialiased, as in the exported model. Raises DataError
    that names the pictures that cannot be read, the first twenty if there are more.
    """
    key = decoded_key(listing, image_px, bits)
    return _open_or_decode(listing, image_px, store, bits, key, _refuse, threads or granted_cores())


def decode_readable(
    listing: Listing,
    image_px: int,
    store: ArrayStore,
    masks: ArrayStore,
    bits: Bits | None,
    threads: int,
) -> Decoded:
    """Decode all images that can be read; `masks` keeps which they are."""
    rows, whole = len(listing.examples), decoded_key(listing, image_px, bits)
    if store.path(whole).is_file():
        return Decoded(whole, decode(listing, image_px, store, bits, threads), np.ones(rows, bool))
    key = partial_key(whole)

    def note(failed: dict[int, PictureError]) -> None:
        masks.open(key, rows, lambda: [~np.isin(np.arange(rows), [*failed])])

    images = _open_or_decode(listing, image_px, store, bits, key, note, threads)
    readable = masks.open(key, rows, lambda: [_try_all(listing, bits, threads)])
    return Decoded(key, images, np.asarray(readable))


def _open_or_decode(
    listing: Listing,
    image_px: int,
    store: ArrayStore,
    bits: Bits | None,
    key: str,
    failed: Failed,
    threads: int,
) -> Pixels:
    def prepare(picture: Picture) -> Pixels:
        return read_square(picture, bits, image_px)

    def make() -> Iterator[Pixels]:
        make_room(store, len(listing.examples) * image_px * image_px * 3)
        return _blocks(listing, image_px, prepare, failed, threads)

    return store.open(
        key,
        len(listing.examples),
        make,
        {"source": listing.source, "image_px": image_px},
    )


def decoded_key(listing: Listing, image_px: int, bits: Bits | None) -> str:
    """The key of the decoded array: `listing_key`, and the depths of 16-bit pictures.

    The depths are left out if earlier versions would have read the pictures in the same way.
    """
    key = listing_key(listing, image_px)
    return key if bits is None or all_full(bits) else _digest(f"{key} {sorted(bits.items())}")


def partial_key(key: str) -> str:
    """The key of a decoded array that may lack pictures, from the key of the complete one."""
    most = most_pixels()
    above = "" if most == MOST_PIXELS else f" of {most} pixels"
    return _digest(f"{key} without what cannot be read{above}")


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def listing_key(listing: Listing, image_px: int) -> str:
    """The key of a listing and `image_px`: changes if a file is added, changed or renamed."""
    digest = hashlib.blake2b(f"{listing.source}\0{image_px}".encode(), digest_size=16)
    for example in listing.examples:
        name = f"\0{example.key}\0{example.version}"
        digest.update(name.encode(errors="surrogateescape"))
    return digest.hexdigest()


def read_pixels(picture: Picture | BinaryIO, bits: Bits | None = ALONE) -> Pixels:
    """One picture as (height, width, 3) uint8, rotated by its EXIF orientation.

    `bits` gives the depth at which a 16-bit picture is read. Raises PictureError.
    """
    with pixels_of(picture, bits) as pixels:
        return pixels


def read_square(picture: Picture, bits: Bits | None, image_px: int) -> Pixels:
    """One picture as (image_px, image_px, 3) uint8; raises PictureError if it cannot be read."""
    with pixels_of(picture, bits) as pixels:
        return resize(pixels, image_px)


@contextmanager
def pixels_of(picture: Picture | BinaryIO, bits: Bits | None = ALONE) -> Iterator[Pixels]:
    """`read_pixels` as a context manager, for a block that still uses the picture's memory.

    Until the block ends, that memory counts against the decoding budget of the process.
    """
    with ExitStack() as held:
        yield _pixels(picture, bits, held)


def _pixels(picture: Picture | BinaryIO, bits: Bits | None, held: ExitStack) -> Pixels:
    if isinstance(picture, np.ndarray):
        if picture.dtype == np.uint8:
            return picture.astype(np.uint8, copy=False)
        sixteen = picture.astype(np.uint16, copy=False)
        return to_eight_bits(UNSTATED, sixteen, bits or ALONE, "a picture")
    with open_picture(picture) as (image, file):
        held.enter_context(decoding_budget().reserve(bytes_to_decode(image)))
        deep = None if bits is None else deep_values(image, file)
        if bits is None or deep is None:
            eight = _upper_byte(decode_upright(image))
            return np.asarray(eight if eight.mode == "RGB" else eight.convert("RGB"))
    stated, values = deep
    pixels = to_eight_bits(stated, values, bits, picture)
    return pixels if pixels.ndim == 3 else np.repeat(pixels[:, :, None], 3, axis=2)


def _upper_byte(image: Image.Image) -> Image.Image:
    """16-bit grey as 8 bits: Pillow's own conversion clips all values above 255 to white."""
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError("32-bit pixels have no known range; save it with 8 or 16 bits")
    return image


def resize(pixels: Pixels, image_px: int) -> Pixels:
    """Resize to a square of `image_px`, by Pillow's bilinear filter, which antialiases."""
    if pixels.shape[:2] == (image_px, image_px):
        return pixels
    square = Image.fromarray(pixels).resize((image_px, image_px), Image.Resampling.BILINEAR)
    return np.asarray(square)


def content_hashes(
    images: Pixels, threads: int = 1, counter: Counter | None = None
) -> NDArray[np.uint64]:
    """A 64-bit hash of each image's pixels, (n,) uint64, for finding duplicates."""
    step = max(1, HASHED_BYTES // max(1, images[:1].nbytes))
    blocks = (images[at : at + step] for at in range(0, len(images), step))
    found = []
    for digests in in_order(_digests, blocks, threads):
        found.append(digests)
        if counter is not None:
            counter.advance(len(digests) // 8)
    return np.frombuffer(b"".join(found), dtype=np.uint64)


def _digests(images: Pixels) -> bytes:
    digests = (hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=8) for image in images)
    return b"".join(digest.digest() for digest in digests)


def _blocks(
    listing: Listing,
    image_px: int,
    prepare: Callable[[Picture], Pixels],
    failed: Failed,
    threads: int,
) -> Iterator[Pixels]:
    """Yield the images in blocks, black if decoding fails, then call `failed` with the errors."""
    black = np.zeros((image_px, image_px, 3), np.uint8)
    failures: dict[int, PictureError] = {}

    def squares() -> Iterator[Pixels]:
        tried = in_order(lambda one: _attempt(prepare, one), listing.pictures(), threads)
        with phase("decoding", len(listing.examples), "pictures") as counter:
            for row, item in enumerate(counting_each(tried, counter)):
                if isinstance(item, PictureError):
                    failures[row] = item
                yield black if isinstance(item, PictureError) else item

    every = squares()
    while block := list(itertools.islice(every, max(1, BLOCK_BYTES // black.nbytes))):
        yield np.stack(block)
    failed(failures)


def _attempt(prepare: Callable[[Picture], Pixels], picture: Picture) -> Pixels | PictureError:
    try:
        return prepare(picture)
    except PictureError as error:
        return error


def _refuse(failed: dict[int, PictureError]) -> None:
    if failed:
        raise mistakes_error(list(failed.values()))


def _try_all(listing: Listing, bits: Bits | None, threads: int) -> NDArray[np.bool_]:
    """Which pictures can be read, tried again because the cache has lost the mask."""

    def can_be_read(picture: Picture) -> bool:
        return not isinstance(
            _attempt(lambda one: read_square(one, bits, 1), picture), PictureError
        )

    return np.array(list(in_order(can_be_read, listing.pictures(), threads)))


def unreadable_pictures(
    listing: Listing, readable: NDArray[np.bool_], bits: Bits | None
) -> Sequence[str]:
    """For each picture that cannot be read, its key and the reason."""
    if readable.all():
        return ()
    found = []
    for row, picture in enumerate(listing.pictures()):
        if not readable[row]:
            tried = _attempt(lambda one: read_pixels(one, bits), picture)
            why = tried.reason if isinstance(tried, PictureError) else "could not be read before"
            found.append(f"{to_storable(listing.examples[row].key)}: {why}")
    return found

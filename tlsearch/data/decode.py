"""Pictures -> equal squares of pixels, decoded once a data set and kept as one mapped array."""

import hashlib
import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from tlsearch.base.errors import DataError
from tlsearch.data.listing import Listing, Picture
from tlsearch.data.mistakes import all_wrong
from tlsearch.store.arrays import ArrayStore

BLOCK = 256


def decode(listing: Listing, image_px: int, store: ArrayStore) -> NDArray[Any]:
    """All images, (n, image_px, image_px, 3) uint8, in the order of the listing.

    Resized without keeping proportions, bilinear and antialiased, as the exported model does.
    Raises DataError naming every picture that cannot be read (of very many the first).
    """
    return store.open(
        listing_key(listing, image_px),
        len(listing.examples),
        lambda: _blocks(listing, lambda picture: resize(read_pixels(picture), image_px)),
        {"source": listing.source, "image_px": image_px},
    )


def listing_key(listing: Listing, image_px: int) -> str:
    """The name of the decoded array: changes when a file is added, changed, renamed or resized."""
    digest = hashlib.blake2b(f"{listing.source}\0{image_px}".encode(), digest_size=16)
    for example in listing.examples:
        name = f"\0{example.key}\0{example.version}"
        digest.update(name.encode(errors="surrogateescape"))
    return digest.hexdigest()


def read_pixels(picture: Picture | BinaryIO) -> NDArray[Any]:
    """One picture as (height, width, 3) uint8, turned as its EXIF says; else DataError."""
    if isinstance(picture, np.ndarray):
        return picture
    try:
        with Image.open(picture) as image:
            return np.asarray(_eight_bits(ImageOps.exif_transpose(image)).convert("RGB"))
    except Image.DecompressionBombError as error:
        raise DataError(f"{picture}: refused, too many pixels ({error})") from error
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        reason = "not an image" if isinstance(error, UnidentifiedImageError) else error
        raise DataError(f"{picture}: cannot be read ({reason})") from error


def _eight_bits(image: Image.Image) -> Image.Image:
    """Grey of 16 bits as 8: Pillow's own conversion clips all above 255 to white."""
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError("32-bit pixels have no known range; save it with 8 or 16 bits")
    return image


def resize(pixels: NDArray[Any], image_px: int) -> NDArray[Any]:
    """A square of `image_px`; Pillow's bilinear filter, which antialiases when it shrinks."""
    if pixels.shape[:2] == (image_px, image_px):
        return pixels
    square = Image.fromarray(pixels).resize((image_px, image_px), Image.Resampling.BILINEAR)
    return np.asarray(square)


def content_hashes(images: NDArray[Any]) -> NDArray[np.uint64]:
    """A 64-bit hash of each image's pixels, (n,), by which duplicates are found."""
    digests = (hashlib.blake2b(image.tobytes(), digest_size=8).digest() for image in images)
    return np.frombuffer(b"".join(digests), dtype=np.uint64)


def _blocks(listing: Listing, prepare: Callable[[Picture], NDArray[Any]]) -> Iterator[NDArray[Any]]:
    def attempt(picture: Picture) -> NDArray[Any] | DataError:
        try:
            return prepare(picture)
        except DataError as error:
            return error

    failures: list[DataError] = []
    with ThreadPoolExecutor() as pool:  # Pillow decodes outside the interpreter's lock
        pictures = listing.pictures()
        while batch := list(itertools.islice(pictures, BLOCK)):
            done = list(pool.map(attempt, batch))
            failures += [item for item in done if isinstance(item, DataError)]
            yield np.stack([item for item in done if not isinstance(item, DataError)] or [_NOTHING])
    if failures:
        raise all_wrong(failures)


_NOTHING = np.zeros((1, 1, 3), np.uint8)

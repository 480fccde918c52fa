"""The images of a search, prepared for its trials as the `data` section describes them."""

import hashlib
import importlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tlsearch.base.array_types import Pixels
from tlsearch.base.cores import granted_cores
from tlsearch.base.errors import DataError
from tlsearch.base.phases import Counter, phase
from tlsearch.config.dataset import FIRST_RULES, SOURCES, Data
from tlsearch.data.audit import audit
from tlsearch.data.classes import rename_classes, require_classes
from tlsearch.data.decode import (
    Decoded,
    content_hashes,
    decode,
    decode_readable,
    decoded_key,
    listing_key,
    partial_key,
    read_pixels,
    unreadable_pictures,
)
from tlsearch.data.depth import ALONE, Bits, Values, bits_of, depth_note, stated_depths
from tlsearch.data.listing import Listing, Split, select_splits, without_splits
from tlsearch.data.near_duplicates import NearCopies, kept_nearest, near_copies
from tlsearch.data.remarks import count_moved, filled_note, left_out_note, require_readable
from tlsearch.data.splits import Division, Indices, divide
from tlsearch.store.arrays import ArrayStore
from tlsearch.store.entries import touch

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Rows:
    """Some rows of an array on disk, in a given order, read only on access."""

    array: Pixels
    rows: Indices

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of an array that holds only these rows."""
        return (len(self.rows), *self.array.shape[1:])

    @property
    def dtype(self) -> np.dtype[np.uint8]:
        """The dtype of the array."""
        return self.array.dtype

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, which: slice | NDArray[np.integer]) -> Pixels:
        return np.asarray(self.array[self.rows[which]])


@dataclass(frozen=True, eq=False)
class ImageData:
    """Decoded images on disk, with labels and splits; small to send, opened where it is used.

    `labels`: (n,) int32. `hashes`: (n,) uint64, of the pixels. `fingerprint` identifies the
    pictures and their splits on every machine. `duplicates` holds the findings of the audit, "" if
    there are none. `unreadable` lists the pictures that are left out, each with its reason; they
    are in no split. `moved` is split -> class -> number of pictures moved there to fill the class
    up. `notes` are remarks on all this, and `bits` the depths at which 16-bit pictures were read.
    """

    images_path: Path
    classes: tuple[str, ...]
    labels: NDArray[np.int32]
    hashes: NDArray[np.uint64]
    splits: dict[Split, Indices]
    fingerprint: str
    duplicates: str = ""
    unreadable: tuple[str, ...] = ()
    moved: Mapping[Split, Mapping[str, int]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    bits: Bits | None = None

    def images(self, split: Split) -> Rows:
        """The images of a split, (n, image_px, image_px, 3) uint8, read from disk on access."""
        mapped: Pixels = np.load(self.images_path, mmap_mode="r", allow_pickle=False)
        return Rows(mapped, self.splits[split])

    def split_labels(self, split: Split) -> NDArray[np.int32]:
        """The labels of one split, (n,) int32, in the order of its indices."""
        return self.labels[self.splits[split]]


def list_source(data: Data) -> Listing:
    """List a data source and apply the user's choice of splits and class names.

    Raises DataError if the source cannot be listed or its classes do not fit.
    """
    row = SOURCES[data.kind]
    module, _, function = row.lists.partition(":")
    lists = getattr(importlib.import_module(module), function)
    listing: Listing = lists(*(getattr(data, key) for key in row.takes))
    if data.use is not None:
        listing = select_splits(listing, data.use)
    if data.classes is not None:
        listing = rename_classes(listing, data.classes, data.strict_classes)
    if data.pool:
        if data.classes is None:  # with data.classes the user has checked the names
            require_classes(listing, pooled=True)
        listing = without_splits(listing)
    require_classes(listing, pooled=False)
    return listing


def original_pictures(
    data: Data, rows: Indices, scratch: Path, bits: Bits | None = ALONE
) -> list[Path]:
    """The files of some examples as they were before decoding, in the order of the listing.

    If the source has no files, lossless ones are written under `scratch`.
    """
    wanted = set(rows.tolist())
    paths = []
    for row, picture in enumerate(list_source(data).pictures()):
        if row in wanted:
            file = picture if isinstance(picture, Path) else scratch / f"{row:07d}.png"
            if not isinstance(picture, Path):
                scratch.mkdir(parents=True, exist_ok=True)
                Image.fromarray(read_pixels(picture, bits)).save(file)
            paths.append(file)
    return paths


def prepare(
    data: Data, cache: Path, threads: int | None = None, budget_bytes: int | None = None
) -> ImageData:
    """List, decode, split and audit the data; all data errors are raised here.

    Slow steps run once per data set, in `threads` threads (by default one for each granted core),
    and their results are kept under `cache`. If the decoded images there would exceed
    `budget_bytes`, those that no process uses are evicted, least recently used first. A process
    that reads these images marks them as used with `store.users.mark_used`.
    """
    threads, images = threads or granted_cores(), ArrayStore(cache / "images", budget_bytes)
    with phase("reading", unit="pictures") as reading:
        listing = list_source(data)
        reading.reach(len(listing.examples))
        bits, of_depth = _bits(listing, data, cache, threads)
    decoded = _decode(listing, data, cache, images, bits, threads)
    unreadable = tuple(unreadable_pictures(listing, decoded.readable, bits))
    require_readable(listing, decoded.readable, unreadable)
    division = _divide_readable(listing, data, decoded.readable)
    moved = count_moved(listing, division.moved)
    remarks = (left_out_note(unreadable, listing), of_depth, filled_note(moved))
    notes = [*listing.notes, *filter(None, remarks)]
    audits = ArrayStore(cache / "audits")

    def near(splits: dict[Split, Indices]) -> NearCopies:
        nearest = kept_nearest(decoded.images, splits, audits, decoded.key, threads)
        return near_copies(hashes, splits, nearest)

    with phase("checking", len(listing.examples), "pictures") as checking:
        hashes = _hashes(decoded, ArrayStore(cache / "hashes"), threads, checking)
        found = audit(listing, hashes, division.rows, data.duplicates, near, decoded.readable)
        checking.reach(len(listing.examples))
    for finding in (*notes, *found.findings):
        log.warning(finding)
    splits = division.rows | {"train": found.train}
    labels = np.array([example.label for example in listing.examples], dtype=np.int32)
    _require_classes(listing.classes, labels[splits["train"]])
    touch(images.path(decoded.key))
    return ImageData(
        images_path=images.path(decoded.key),
        classes=listing.classes,
        labels=labels,
        hashes=hashes,
        splits=splits,
        fingerprint=_fingerprint(listing.classes, hashes, labels, splits),
        duplicates="; ".join(found.findings),
        unreadable=unreadable,
        moved=moved,
        notes=tuple(notes),
        bits=bits,
    )


def known_splits(data: Data, cache: Path) -> tuple[Listing, dict[Split, Indices], bool]:
    """The listing, its splits as far as they are known without decoding, and whether it is decoded.

    Before decoding, pictures that cannot be read are still in the splits.
    """
    listing = list_source(data)
    readable = _known_readable(listing, data, cache)
    known = np.ones(len(listing.examples), bool) if readable is None else readable
    return listing, _divide_readable(listing, data, known).rows, readable is not None


def _known_readable(listing: Listing, data: Data, cache: Path) -> NDArray[np.bool_] | None:
    """Which pictures can be read; None if they are not decoded yet."""
    kept, bits = ArrayStore(cache / "depths").path(listing_key(listing, 0)), ALONE
    if data.rules > FIRST_RULES and kept.is_file():
        bits = bits_of(np.load(kept, allow_pickle=False))
    whole = decoded_key(listing, data.image_px, bits)
    store, masks = ArrayStore(cache / "images"), ArrayStore(cache / "readable")
    if store.path(whole).is_file():
        return np.ones(len(listing.examples), bool)
    key = partial_key(whole)
    there = store.path(key).is_file() and masks.path(key).is_file()
    if data.unreadable == "error" or not there:
        return None
    return np.asarray(np.load(masks.path(key), allow_pickle=False))


def _bits(
    listing: Listing, data: Data, cache: Path, threads: int
) -> tuple[Bits | None, str | None]:
    """The depths at which 16-bit pictures are read, found once per data set, and a note on them."""
    if data.rules == FIRST_RULES:
        return None, None
    store = ArrayStore(cache / "depths")
    found: Values = np.asarray(
        store.open(
            listing_key(listing, 0),
            len(listing.examples),
            lambda: [stated_depths(listing, threads)],
        )
    )
    bits = bits_of(found)
    return bits, depth_note(found, bits)


def _decode(
    listing: Listing,
    data: Data,
    cache: Path,
    store: ArrayStore,
    bits: Bits | None,
    threads: int,
) -> Decoded:
    if data.unreadable == "skip":
        masks = ArrayStore(cache / "readable")
        return decode_readable(listing, data.image_px, store, masks, bits, threads)
    images = decode(listing, data.image_px, store, bits, threads)
    return Decoded(
        decoded_key(listing, data.image_px, bits), images, np.ones(len(images), dtype=bool)
    )


def _divide_readable(listing: Listing, data: Data, readable: NDArray[np.bool_]) -> Division:
    """The splits of the pictures that can be read, as rows of the listing."""
    rows = np.flatnonzero(readable)
    examples = [listing.examples[row] for row in rows.tolist()]
    found = divide(examples, data.splits, listing.classes, data.rules)
    return Division(
        {split: rows[indices] for split, indices in found.rows.items()},
        {split: rows[indices] for split, indices in found.moved.items()},
    )


def _hashes(
    decoded: Decoded, store: ArrayStore, threads: int, counter: Counter
) -> NDArray[np.uint64]:
    images = decoded.images
    found = store.open(decoded.key, len(images), lambda: [content_hashes(images, threads, counter)])
    return np.asarray(found)


def _require_classes(classes: tuple[str, ...], train_labels: NDArray[np.int32]) -> None:
    lacking = [name for label, name in enumerate(classes) if label not in train_labels]
    if lacking:
        raise DataError(
            f"without the pictures that are in another split too, the train split has no image of "
            f"{', '.join(lacking)}; take them out of the other splits, or set data.duplicates: keep"
        )


def _fingerprint(
    classes: tuple[str, ...],
    hashes: NDArray[np.uint64],
    labels: NDArray[np.int32],
    splits: dict[Split, Indices],
) -> str:
    """A hash of the classes, pictures, labels and splits, independent of file names and order."""
    digest = hashlib.blake2b("\0".join(classes).encode(), digest_size=16)
    for split, rows in splits.items():
        order = np.lexsort((labels[rows], hashes[rows]))
        digest.update(split.encode())
        digest.update(hashes[rows][order].tobytes())
        digest.update(labels[rows][order].astype(np.int32).tobytes())
    return digest.hexdigest()

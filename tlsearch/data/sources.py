"""From what the user said of the data to images ready for trials."""

import hashlib
import importlib
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tlsearch.base.errors import DataError
from tlsearch.config.dataset import SOURCES, Data
from tlsearch.data.audit import audit
from tlsearch.data.classes import renamed, require_classes
from tlsearch.data.decode import content_hashes, decode, listing_key
from tlsearch.data.listing import Listing, Split, only, pooled
from tlsearch.data.splits import Indices, assign
from tlsearch.store.arrays import ArrayStore

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Rows:
    """Some rows of an array on disk, in a given order, read only when they are asked for."""

    array: NDArray[Any]
    rows: Indices

    @property
    def shape(self) -> tuple[int, ...]:
        """As of an array that holds these rows alone."""
        return (len(self.rows), *self.array.shape[1:])

    @property
    def dtype(self) -> np.dtype[Any]:
        """As of the array."""
        return self.array.dtype

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, which: slice | Indices) -> NDArray[Any]:
        return np.asarray(self.array[self.rows[which]])


@dataclass(frozen=True, eq=False)
class ImageData:
    """Decoded images on disk with labels and splits; small to send, opened where it is used.

    `labels`: (n,) int32. `hashes`: (n,) uint64, of the pixels. `fingerprint` names the pictures and
    their split, whatever the machine. `duplicates` says what the audit found, "" where nothing.
    """

    images_path: Path
    classes: tuple[str, ...]
    labels: NDArray[np.int32]
    hashes: NDArray[np.uint64]
    splits: dict[Split, Indices]
    fingerprint: str
    duplicates: str = ""

    def images(self, split: Split) -> Rows:
        """The images of a split, (n, image_px, image_px, 3) uint8, left on disk until asked for."""
        mapped: NDArray[Any] = np.load(self.images_path, mmap_mode="r", allow_pickle=False)
        return Rows(mapped, self.splits[split])

    def split_labels(self, split: Split) -> NDArray[np.int32]:
        """The labels of one split, (n,) int32, in the order of its indices."""
        return self.labels[self.splits[split]]


def list_source(data: Data) -> Listing:
    """The listing of a data source, as the user wants it; raises DataError where there is none."""
    row = SOURCES[data.kind]
    module, _, function = row.lists.partition(":")
    lists = getattr(importlib.import_module(module), function)
    listing: Listing = lists(*(getattr(data, key) for key in row.takes))
    if data.use is not None:
        listing = only(listing, data.use)
    if data.classes is not None:
        listing = renamed(listing, data.classes, data.strict_classes)
    if data.pool:
        if data.classes is None:  # else the user has seen the names
            require_classes(listing, pooled=True)
        listing = pooled(listing)
    require_classes(listing, pooled=False)
    return listing


def original_pictures(data: Data, rows: Indices, scratch: Path) -> list[Path]:
    """The files of some examples as they were before decoding, in the order of the listing.

    A source that has no files gets lossless ones written under `scratch`.
    """
    wanted = set(rows.tolist())
    paths = []
    for row, picture in enumerate(list_source(data).pictures()):
        if row in wanted:
            paths.append(picture if isinstance(picture, Path) else _as_file(picture, scratch, row))
    return paths


def _as_file(pixels: NDArray[Any], scratch: Path, row: int) -> Path:
    scratch.mkdir(parents=True, exist_ok=True)
    path = scratch / f"{row:07d}.png"
    Image.fromarray(pixels).save(path)
    return path


def prepare(data: Data, cache: Path) -> ImageData:
    """List, decode (once a data set, under `cache`), split and audit; all data errors come here."""
    listing = list_source(data)
    splits = assign(listing.examples, data.splits, listing.classes)
    store = ArrayStore(cache / "images")
    images = decode(listing, data.image_px, store)
    hashes = _hashes(listing, data.image_px, images, ArrayStore(cache / "hashes"))
    found = audit(listing, images, hashes, splits, data.duplicates)
    for finding in found.findings:
        log.warning(finding)
    splits["train"] = found.train
    labels = np.array([example.label for example in listing.examples], dtype=np.int32)
    _require_classes(listing.classes, labels[splits["train"]])
    return ImageData(
        images_path=store.path(listing_key(listing, data.image_px)),
        classes=listing.classes,
        labels=labels,
        hashes=hashes,
        splits=splits,
        fingerprint=_fingerprint(listing.classes, hashes, labels, splits),
        duplicates="; ".join(found.findings),
    )


def _hashes(
    listing: Listing, image_px: int, images: NDArray[Any], store: ArrayStore
) -> NDArray[np.uint64]:
    key = listing_key(listing, image_px)
    return np.asarray(store.open(key, len(images), lambda: [content_hashes(images)]))


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
    """A hash of the pictures, their labels and their split, independent of names and order."""
    digest = hashlib.blake2b("\0".join(classes).encode(), digest_size=16)
    for split, rows in splits.items():
        order = np.lexsort((labels[rows], hashes[rows]))
        digest.update(split.encode())
        digest.update(hashes[rows][order].tobytes())
        digest.update(labels[rows][order].astype(np.int32).tobytes())
    return digest.hexdigest()

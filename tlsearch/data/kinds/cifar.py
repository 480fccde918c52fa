"""CIFAR-10 and CIFAR-100 as their authors publish them: pickled batches of 32 x 32 images.

Follows https://www.cs.toronto.edu/~kriz/cifar.html: `data` is (n, 3072) uint8; each row holds the
red plane, then the green one, then the blue one.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tlsearch.base.errors import DataError
from tlsearch.data.kinds.pickled import read_pickle
from tlsearch.data.listing import Example, Listing, Split
from tlsearch.data.mistakes import mistakes_error
from tlsearch.data.paths import file_version, folder_at

SIDE_PX = 32


@dataclass(frozen=True)
class Edition:
    """The file layout of CIFAR-10 or CIFAR-100; `labels` is the key of the labels in each batch."""

    meta: str
    names: str
    labels: str
    batches: dict[str, Split]


EDITIONS = (
    Edition(
        "batches.meta",
        "label_names",
        "labels",
        {**{f"data_batch_{number}": "train" for number in range(1, 6)}, "test_batch": "test"},
    ),
    Edition("meta", "fine_label_names", "fine_labels", {"train": "train", "test": "test"}),
)


def list_cifar(root: Path) -> Listing:
    """List the images in the batches of a folder; an example's key is its batch and its row."""
    root = folder_at(root, "CIFAR's pickled batches")
    edition = _edition(root)
    classes = _class_names(root / edition.meta, edition)
    examples = [
        example
        for name, split in edition.batches.items()
        for example in _examples(root / name, edition, split, len(classes))
    ]
    return Listing(
        str(root),
        classes,
        examples,
        lambda: (image for name in edition.batches for image in _images(root / name)),
    )


def _edition(root: Path) -> Edition:
    for edition in EDITIONS:
        if (root / edition.meta).is_file():
            missing = [name for name in edition.batches if not (root / name).is_file()]
            if missing:
                raise mistakes_error([f"{root / name}: no such file" for name in missing])
            return edition
    raise DataError(
        f"{root}: found neither batches.meta (CIFAR-10) nor meta (CIFAR-100); expected the "
        "unpacked folder cifar-10-batches-py or cifar-100-python"
    )


def _class_names(path: Path, edition: Edition) -> tuple[str, ...]:
    names = read_pickle(path).get(edition.names)
    if not isinstance(names, list) or not names:
        raise DataError(f"{path}: found no {edition.names}")
    return tuple(n.decode() if isinstance(n, bytes) else str(n) for n in names)


def _examples(path: Path, edition: Edition, split: Split, classes: int) -> list[Example]:
    batch = read_pickle(path)
    labels, count = batch.get(edition.labels), len(_pixels(path, batch))
    if not isinstance(labels, list) or len(labels) != count:
        raise DataError(f"{path}: expected {count} {edition.labels}, one per image")
    if not all(isinstance(label, int) and 0 <= label < classes for label in labels):
        raise DataError(f"{path}: expected {edition.labels} from 0 to {classes - 1}")
    version = file_version(path)
    return [
        Example(f"{path.name}/{row:05d}", label, split, version) for row, label in enumerate(labels)
    ]


def _pixels(path: Path, batch: dict[str, Any]) -> NDArray[np.uint8]:
    """The images of a batch, (n, 3, 32, 32)."""
    data = batch.get("data")
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.ndim != 2:
        raise DataError(f"{path}: found no data, expected an array (n, 3072) of bytes")
    if data.shape[1] != 3 * SIDE_PX**2:
        raise DataError(f"{path}: found data of shape {data.shape}, expected (n, {3 * SIDE_PX**2})")
    return data.reshape(-1, 3, SIDE_PX, SIDE_PX)


def _images(path: Path) -> Iterator[NDArray[np.uint8]]:
    return iter(_pixels(path, read_pickle(path)).transpose(0, 2, 3, 1))

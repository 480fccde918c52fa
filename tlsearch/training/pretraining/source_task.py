"""The data set a backbone is pretrained on: drawn strokes, an image folder, or a TFDS data set."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tlsearch.data.decode import decode
from tlsearch.data.depth import bits_of, stated_depths
from tlsearch.data.kinds.folder import list_folder
from tlsearch.data.kinds.tfds import list_tfds
from tlsearch.data.listing import Listing
from tlsearch.store.arrays import ArrayStore
from tlsearch.training.pretraining.strokes import draw_strokes

STROKE_CLASSES = 300
STROKES_PER_CLASS = 200


@dataclass(frozen=True, eq=False)
class SourceTask:
    """Labelled images to pretrain on: (n, px, px, 3) uint8 and (n,) int32.

    `mirror` says whether an image and its mirror image have the same label.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int32]
    mirror: bool


def load_source(source: str, image_px: int, seed: int) -> SourceTask:
    """Draw or read the source task, without the validation and test splits if the data set has
    them.
    """
    if source == "strokes":
        images, labels = draw_strokes(STROKE_CLASSES, STROKES_PER_CLASS, image_px, seed)
        return SourceTask(images, labels, mirror=False)
    listing = list_folder(Path(source)) if Path(source).is_dir() else list_tfds(source)
    return _photographs(listing, image_px)


def _photographs(listing: Listing, image_px: int) -> SourceTask:
    with tempfile.TemporaryDirectory() as folder:
        bits = bits_of(stated_depths(listing))
        decoded = decode(listing, image_px, ArrayStore(Path(folder)), bits)
        train = [i for i, e in enumerate(listing.examples) if e.split in (None, "train")]
        labels = np.array([listing.examples[i].label for i in train], dtype=np.int32)
        return SourceTask(np.asarray(decoded[train]), labels, mirror=True)

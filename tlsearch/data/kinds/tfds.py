"""A TensorFlow Datasets (TFDS) data set by name, which `tfds build` has put on disk."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from tlsearch.base.array_types import Pixels
from tlsearch.base.errors import DataError, first_line
from tlsearch.config.dataset import SPLIT_NAMES
from tlsearch.data.listing import Example, Listing


def list_tfds(name: str) -> Listing:
    """List a TFDS image classification data set.

    Raises DataError, with the command that fetches the data set if it is not on this machine.
    Imports TensorFlow, so the driver of a search calls it in a worker.
    """
    builder = _ready(name)
    features = builder.info.features
    if features is None or not {"image", "label"} <= set(features):
        raise DataError(f"tfds {name}: expected the features image and label, found {features}")
    dtype = np.dtype(features["image"].np_dtype)
    if dtype not in (np.uint8, np.uint16):
        raise DataError(f"tfds {name}: expected pixels of uint8 or uint16, found {dtype}")
    parts = sorted(builder.info.splits)
    examples = [
        Example(f"{part}/{index:07d}", int(row["label"]), _split(part, parts))
        for part in parts
        for index, row in enumerate(_rows(builder, part, pixels=False))
    ]
    return Listing(
        f"tfds {name} {builder.info.version}",
        tuple(features["label"].names),
        examples,
        lambda: (_rgb(row["image"]) for part in parts for row in _rows(builder, part)),
    )


def _ready(name: str) -> Any:
    """The builder of a data set that is on disk; downloading gigabytes is left to the user."""
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder(name)
    except Exception as error:  # TFDS raises many kinds: unknown name, unreadable metadata
        raise DataError(f"tfds {name}: {first_line(error)}") from error
    if not builder.data_path.exists():
        raise DataError(
            f"tfds {name}: not on this machine (looked for {builder.data_path}); "
            f"`tfds build {name}` fetches it"
        )
    return builder


def _rows(builder: Any, part: str, pixels: bool = True) -> Iterator[Any]:
    """The rows of one part, in a fixed order; images stay encoded if `pixels` is false."""
    import tensorflow_datasets as tfds

    skip = None if pixels else {"image": tfds.decode.SkipDecoding()}
    rows = builder.as_dataset(split=part, shuffle_files=False, decoders=skip)
    return iter(tfds.as_numpy(rows))


def _split(part: str, parts: list[str]) -> Any:
    """The split that the name of a part means, if any; None for the only part of a data set."""
    return SPLIT_NAMES.get(part.lower()) if len(parts) > 1 else None


def _rgb(image: Pixels) -> Pixels:
    return np.repeat(image, 3, axis=2) if image.shape[2] == 1 else np.asarray(image[:, :, :3])

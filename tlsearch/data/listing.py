"""The images of a data set: a listing of examples, each with its class and possibly its split."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import compress
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tlsearch.base.array_types import Pixels
from tlsearch.base.errors import DataError

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")


@dataclass(frozen=True)
class Example:
    """One image with its label, under a key that never changes (a relative path or an index).

    `split` is the split that the data itself names, None if it names none. `version` changes when
    the image may have changed (size and modification time of a file).
    """

    key: str
    label: int
    split: Split | None = None
    version: str = ""


# A picture as its source holds it: a file, or (height, width, 3) pixels of 8 or 16 bits.
Picture = Path | Pixels | NDArray[np.uint16]


@dataclass(frozen=True)
class Listing:
    """All examples of a data set, in a fixed order.

    `pictures()` lazily yields one picture per example, in the same order. `notes` are remarks on
    what was left out of the listing.
    """

    source: str
    classes: tuple[str, ...]
    examples: Sequence[Example]
    pictures: Callable[[], Iterator[Picture]]
    notes: tuple[str, ...] = ()


def select_splits(listing: Listing, splits: Sequence[Split]) -> Listing:
    """The listing of these splits alone, with only the classes that occur in them.

    Raises DataError for a split that the data does not name.
    """
    named = {example.split for example in listing.examples} - {None}
    lacking = [split for split in splits if split not in named]
    if lacking:
        found = ", ".join(sorted(filter(None, named))) or "none"
        raise DataError(
            f"{listing.source}: data.use names {', '.join(lacking)}, "
            f"but the splits that the data names are: {found}"
        )
    keep = [example.split in splits for example in listing.examples]
    kept = replace(
        listing,
        examples=list(compress(listing.examples, keep)),
        pictures=lambda: compress(listing.pictures(), keep),
    )
    return _without_empty_classes(kept)


def without_splits(listing: Listing) -> Listing:
    """The listing without splits, as if the data named none."""
    return replace(listing, examples=[replace(e, split=None) for e in listing.examples])


def _without_empty_classes(listing: Listing) -> Listing:
    """The listing without the classes that have no example."""
    seen = sorted({example.label for example in listing.examples})
    indices = {label: index for index, label in enumerate(seen)}
    return replace(
        listing,
        classes=tuple(listing.classes[label] for label in seen),
        examples=[replace(e, label=indices[e.label]) for e in listing.examples],
    )

"""Which images there are: a listing of examples, each with its class and perhaps its split."""

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
    """One image by a name that never changes (a relative path, an index), with its label.

    `split` is what the data itself says, None where it says nothing. `version` changes when the
    image may have changed (size and time of a file).
    """

    key: str
    label: int
    split: Split | None = None
    version: str = ""


# A picture as a source has it: a file, or (height, width, 3) pixels of 8 or 16 bits.
Picture = Path | Pixels | NDArray[np.uint16]


@dataclass(frozen=True)
class Listing:
    """All examples of a data set, in the order of their keys.

    `pictures()` yields one picture an example, in the same order, lazily.
    """

    source: str
    classes: tuple[str, ...]
    examples: Sequence[Example]
    pictures: Callable[[], Iterator[Picture]]


def only(listing: Listing, splits: Sequence[Split]) -> Listing:
    """The examples of some of the splits that the data names, and the classes that they show."""
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
    return _without_unseen(kept)


def pooled(listing: Listing) -> Listing:
    """All examples thrown together, as if the data named no splits."""
    return replace(listing, examples=[replace(e, split=None) for e in listing.examples])


def _without_unseen(listing: Listing) -> Listing:
    """A class that no example shows is none."""
    seen = sorted({example.label for example in listing.examples})
    places = {label: place for place, label in enumerate(seen)}
    return replace(
        listing,
        classes=tuple(listing.classes[label] for label in seen),
        examples=[replace(e, label=places[e.label]) for e in listing.examples],
    )

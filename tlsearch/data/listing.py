"""Which images there are: a listing of examples, each with its class and perhaps its split."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from numpy.typing import NDArray

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


# A picture as a source has it: a file, or decoded (height, width, 3) uint8 pixels.
Picture = Path | NDArray[Any]


@dataclass(frozen=True)
class Listing:
    """All examples of a data set, in the order of their keys.

    `pictures()` yields one picture an example, in the same order, lazily.
    """

    source: str
    classes: tuple[str, ...]
    examples: Sequence[Example]
    pictures: Callable[[], Iterator[Picture]]

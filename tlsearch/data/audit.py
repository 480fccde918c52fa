"""The audit of a data set: equal pictures in two splits or classes, near copies in two splits."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tlsearch.base.errors import DataError
from tlsearch.base.shown_text import to_storable
from tlsearch.data.listing import SPLITS, Listing, Split
from tlsearch.data.near_duplicates import NearCopies
from tlsearch.data.splits import Indices

Hashes = NDArray[np.uint64]


@dataclass(frozen=True)
class Audit:
    """The findings on a data set, one sentence each, and the indices that stay in train."""

    findings: tuple[str, ...]
    train: Indices


@dataclass(frozen=True)
class Duplicates:
    """The numbers of images that are also in a later split, and the train indices to drop for that.

    `example`: the rows of two equal pictures in different splits.
    """

    train_in_validation: int
    train_in_test: int
    validation_in_test: int
    train_again: Indices
    example: tuple[int, int] | None

    @property
    def any(self) -> bool:
        """Whether a picture is in two splits."""
        return bool(self.train_in_validation or self.train_in_test or self.validation_in_test)

    def __str__(self) -> str:
        return (
            f"the same picture in two splits: train and validation {self.train_in_validation}, "
            f"train and test {self.train_in_test}, validation and test {self.validation_in_test}"
        )


def find_duplicates(hashes: Hashes, splits: dict[Split, Indices]) -> Duplicates:
    """Count pictures with equal pixels across splits; `train_again` are those of train."""
    train, validation, test = (hashes[splits[name]] for name in ("train", "validation", "test"))
    in_validation, in_test = np.isin(train, validation), np.isin(train, test)
    return Duplicates(
        train_in_validation=int(in_validation.sum()),
        train_in_test=int(in_test.sum()),
        validation_in_test=int(np.isin(validation, test).sum()),
        train_again=splits["train"][in_validation | in_test],
        example=_first_pair(hashes, splits),
    )


def _first_pair(hashes: Hashes, splits: dict[Split, Indices]) -> tuple[int, int] | None:
    for one, other in combinations(SPLITS, 2):
        again = np.flatnonzero(np.isin(hashes[splits[one]], hashes[splits[other]]))
        if len(again):
            row = splits[one][again[0]]
            return int(row), int(splits[other][np.argmax(hashes[splits[other]] == hashes[row])])
    return None


def find_contradictions(hashes: Hashes, labels: NDArray[np.int32]) -> list[tuple[int, int]]:
    """Pairs of rows with equal pixels and different labels: one pair per label after the first."""
    order = np.lexsort((labels, hashes))
    before, after = order[:-1], order[1:]
    wrong = (hashes[before] == hashes[after]) & (labels[before] != labels[after])
    return list(zip(before[wrong].tolist(), after[wrong].tolist(), strict=True))


def audit(
    listing: Listing,
    hashes: Hashes,
    splits: dict[Split, Indices],
    duplicates: Literal["drop", "keep", "error"],
    near_copies: Callable[[dict[Split, Indices]], NearCopies],
    readable: NDArray[np.bool_] | None = None,
) -> Audit:
    """Look for equal and nearly equal pictures in two splits, and equal pictures with two labels.

    With "error", raises DataError for equal pictures in two splits. With "drop", train loses the
    pictures that are in another split too. Near copies, which
    `near_copies` finds in the splits that remain, are counted and always kept; they are no error.
    Images that are not `readable` are in no split.
    """
    same = find_duplicates(hashes, splits)
    if same.any and duplicates == "error":
        remedy = "remove the copies, or set data.duplicates to drop or keep"
        raise DataError(f"{same}{_name_pair(listing, same.example)}; {remedy}")
    drop = same.any and duplicates == "drop"
    findings = (
        [f"{same}{_name_pair(listing, same.example)}; {_done(same, drop)}"] if same.any else []
    )
    train = np.setdiff1d(splits["train"], same.train_again) if drop else splits["train"]
    near = near_copies(splits | {"train": train})
    if near.any:
        kept = "all kept, which makes scores better than on unrelated pictures"
        findings.append(f"{near}{_name_pair(listing, near.example)}; {kept}")
    labels = np.array([example.label for example in listing.examples], dtype=np.int32)
    rows = np.arange(len(hashes)) if readable is None else np.flatnonzero(readable)
    if twice := find_contradictions(hashes[rows], labels[rows]):
        first = int(rows[twice[0][0]]), int(rows[twice[0][1]])
        findings.append(
            f"the same picture under two labels: {len(twice)}{_name_pair(listing, first)}"
        )
    return Audit(tuple(findings), train)


def _done(same: Duplicates, drop: bool) -> str:
    if not drop:
        return "kept because of duplicates: keep"
    stay = same.validation_in_test
    return f"{len(same.train_again)} dropped from train" + (
        f", {stay} left in validation and test" if stay else ""
    )


def _name_pair(listing: Listing, pair: tuple[int, int] | None) -> str:
    """The names of two pictures, so that the user can look at them."""
    if pair is None:
        return ""
    one, other = (to_storable(listing.examples[row].key) for row in pair)
    return f" (for example {one} and {other})"

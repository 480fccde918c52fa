"""Train, validation and test split, drawn by each example's key: listing order does not matter."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tlsearch.base.errors import DataError
from tlsearch.config.dataset import FIRST_RULES, LATEST_RULES, Part, Splits
from tlsearch.data.listing import SPLITS, Example, Split

LEAST = 5  # pictures per class that a share is filled up to
KEPT = 2  # times as many pictures of the class stay in train

Indices = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Division:
    """Split -> sorted indices of its examples, and of those moved there to fill small classes."""

    rows: dict[Split, Indices]
    moved: dict[Split, Indices]


def assign(
    examples: Sequence[Example], splits: Splits, classes: Sequence[str], rules: int = LATEST_RULES
) -> dict[Split, Indices]:
    """Split -> sorted indices of its examples, by the rules of `divide`."""
    return divide(examples, splits, classes, rules).rows


def divide(
    examples: Sequence[Example], splits: Splits, classes: Sequence[str], rules: int = LATEST_RULES
) -> Division:
    """Assign each example to at most one split.

    A share takes the examples whose hash falls into its part of [0, 1), whatever other examples
    there are. If validation or test would then hold fewer than 5 pictures of a class, train gives
    it the nearest by hash, as long as train keeps twice as many of the class as that split has. A
    split that still has none of a class gets one from the split with the most. The first version of
    the rules only has this last step for small classes. A count is spread over the classes in
    proportion and takes the smallest hashes. Splits that the data itself names are kept; the others
    are cut from train. Raises DataError if a split would lack a class or a count is too large.
    """
    given = _given_splits(examples)
    if given and "train" not in given:
        raise DataError(
            f"the data has the split{'s'[: len(given) - 1]} {', '.join(given)}, expected a train "
            "split too; add one, or set data.pool: true to split all pictures anew"
        )
    pool = given.pop("train", np.arange(len(examples)))
    wanted = {split: getattr(splits, split) for split in SPLITS if split not in given}
    drawn, moved = _draw(examples, pool, wanted if given else _all_parts(splits), rules)
    result = {split: np.sort((drawn | given)[split]) for split in SPLITS}
    _check(examples, result, classes)
    return Division(result, moved)


def hash_position(key: str) -> float:
    """The hash of an example's key in [0, 1): uniform, and always the same on every machine."""
    return (
        int.from_bytes(
            hashlib.blake2b(key.encode(errors="surrogateescape"), digest_size=7).digest(), "big"
        )
        / 2.0**56
    )


def _given_splits(examples: Sequence[Example]) -> dict[Split, Indices]:
    named = {split: [i for i, e in enumerate(examples) if e.split == split] for split in SPLITS}
    unnamed = [i for i, e in enumerate(examples) if e.split is None]
    if len(unnamed) == len(examples):
        return {}
    named["train"] += unnamed
    return {split: np.array(rows, dtype=np.int64) for split, rows in named.items() if rows}


def _all_parts(splits: Splits) -> dict[Split, Part]:
    return {split: getattr(splits, split) for split in SPLITS}


def _draw(
    examples: Sequence[Example], pool: Indices, parts: dict[Split, Part], rules: int
) -> tuple[dict[Split, Indices], dict[Split, Indices]]:
    """Assign the pool to the splits: shares first, then counts, each test, validation, train.

    Also returns the examples that were moved to fill small classes.
    """
    places = np.array([hash_position(examples[i].key) for i in pool])
    labels = np.array([examples[i].label for i in pool], dtype=np.int64)
    by_class = _by_class(labels)
    free = np.ones(len(pool), dtype=bool)
    taken: dict[Split, Mask] = {}
    start = 0.0
    distances: dict[Split, NDArray[np.float64]] = {}
    for split, part in _test_first(parts):
        if isinstance(part, float):
            taken[split] = (places >= start) & (places < start + part)
            distances[split] = np.maximum(start - places, places - (start + part))
            start += part
            free &= ~taken[split]
    for split, part in _test_first(parts):
        if isinstance(part, int):
            taken[split] = _smallest(places, by_class, free, part, split)
            free &= ~taken[split]
    for split, part in parts.items():
        if part == "rest":
            taken[split] = free
            distances[split] = start - places
    shared = {split: mask for split, mask in taken.items() if not isinstance(parts[split], int)}
    before = {split: mask.copy() for split, mask in shared.items()}
    for of_class in by_class.values():
        if rules > FIRST_RULES:
            _fill(shared, of_class, distances)
        _give_each_one(shared, of_class, places)
    moved = {split: np.sort(pool[shared[split] & ~before[split]]) for split in shared}
    return {
        split: pool[mask] for split, mask in taken.items()
    }, moved if rules > FIRST_RULES else {}


def _by_class(labels: NDArray[np.int64]) -> dict[int, Indices]:
    """Label -> the indices of its examples, ascending; one sort instead of a scan per class."""
    order = np.argsort(labels, kind="stable")
    found, starts = np.unique(labels[order], return_index=True)
    return dict(zip(found.tolist(), np.split(order, starts[1:]), strict=False))


def _fill(
    taken: dict[Split, Mask], of_class: Indices, distances: dict[Split, NDArray[np.float64]]
) -> None:
    """Move the nearest train examples of a class to validation, then to test, if they have few."""
    lent = taken.get("train")
    for split in ("validation", "test"):
        if lent is None or split not in taken:
            continue
        mask = taken[split]
        candidates = of_class[lent[of_class]]
        has, kept = int(mask[of_class].sum()), len(candidates)
        wanted = sum(KEPT * (has + n) <= kept - n for n in range(1, LEAST - has + 1))
        nearest = candidates[np.argsort(distances[split][candidates], kind="stable")[:wanted]]
        lent[nearest], mask[nearest] = False, True


def _give_each_one(
    taken: dict[Split, Mask], of_class: Indices, places: NDArray[np.float64]
) -> None:
    """Give each split that has none of a class the first example of the split with the most."""
    for mask in taken.values():
        largest = max(taken.values(), key=lambda other: int(other[of_class].sum()))
        donors = of_class[largest[of_class]]
        if len(donors) > 1 and not mask[of_class].any():
            moved = donors[np.argmin(places[donors])]
            largest[moved], mask[moved] = False, True


def _test_first(parts: dict[Split, Part]) -> list[tuple[Split, Part]]:
    return [(split, parts[split]) for split in reversed(SPLITS) if split in parts]


def _smallest(
    places: NDArray[np.float64],
    by_class: dict[int, Indices],
    free: NDArray[np.bool_],
    count: int,
    split: Split,
) -> NDArray[np.bool_]:
    """Mark `count` free examples, spread over the classes: those with the smallest hashes."""
    if count > free.sum():
        raise DataError(
            f"data.splits.{split}: found {count}, but only {free.sum()} images are left"
        )
    chosen = np.zeros(len(places), dtype=bool)
    left = [rows[free[rows]] for rows in by_class.values()]
    quota = _spread(count, np.array([len(rows) for rows in left]))
    for rows, share in zip(left, quota, strict=True):
        chosen[rows[np.argsort(places[rows], kind="stable")[:share]]] = True
    return chosen


def _spread(count: int, sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Divide `count` into whole numbers in proportion to `sizes`; large remainders round up."""
    exact = count * sizes / sizes.sum()
    quota: NDArray[np.int64] = np.floor(exact).astype(np.int64)
    quota[np.argsort(quota - exact, kind="stable")[: count - quota.sum()]] += 1
    return quota


def _check(
    examples: Sequence[Example], result: dict[Split, Indices], classes: Sequence[str]
) -> None:
    for split, rows in result.items():
        present = {examples[i].label for i in rows}
        lacking = [name for label, name in enumerate(classes) if label not in present]
        if lacking:
            raise DataError(
                f"the {split} split ({len(rows)} images) has no image of {', '.join(lacking)}; "
                f"ask for a larger data.splits.{split}; a class needs an image for each split"
            )

"""Pictures that are nearly another: a neighbouring video frame, another compression or size."""

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tlsearch.data.listing import SPLITS, Split
from tlsearch.data.splits import Indices

SIDE = 10  # points a side by which pictures are compared
ALIKE = 0.998  # correlation; at 0.99 some of scikit-learn's digits are like others, here none
MOST_ROWS = 5_000  # of a split, evenly apart, that are looked for
MOST_OTHERS = 50_000  # of a later split among which they are looked for
_BLOCK = 1024

Signatures = NDArray[np.float32]


@dataclass(frozen=True)
class NearCopies:
    """How many pictures of a split have a near, not an equal, copy in a later one.

    `counts`: (split, later split) -> how many of the `looked` rows of the former. `example`: two
    such pictures.
    """

    counts: dict[tuple[Split, Split], int]
    looked: dict[Split, int]
    example: tuple[int, int] | None

    @property
    def any(self) -> bool:
        """Whether there is one."""
        return self.example is not None

    def __str__(self) -> str:
        found = ", ".join(
            f"{one} and {other} {count} of {self.looked[one]}"
            for (one, other), count in self.counts.items()
        )
        return f"nearly the same picture in two splits: {found}"


def signatures(images: NDArray[Any], rows: Indices) -> Signatures:
    """What some of `images`, (n, px, px, 3), look like from afar: (rows, 300), mean 0, length 1."""
    parts = [_coarse(images[rows[at : at + _BLOCK]]) for at in range(0, len(rows), _BLOCK)]
    flat = np.concatenate(parts) if parts else np.zeros((0, 3), np.float32)
    flat -= flat.mean(axis=1, keepdims=True)
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    plain = length <= 1  # a plain picture is like none
    return np.asarray(np.where(plain, 0, flat / np.where(plain, 1, length)), np.float32)


def _coarse(images: NDArray[Any]) -> Signatures:
    side = min(SIDE, images.shape[1])
    edges = np.linspace(0, images.shape[1], side, endpoint=False).astype(np.int64)
    sums = np.add.reduceat(np.add.reduceat(images, edges, 1, np.int64), edges, 2)
    pixels = np.diff(np.append(edges, images.shape[1]))
    means = sums / (pixels[:, None, None] * pixels[None, :, None])
    return np.asarray(means.reshape(len(images), -1), np.float32)


def find_near_copies(
    images: NDArray[Any], hashes: NDArray[np.uint64], splits: dict[Split, Indices]
) -> NearCopies:
    """Compare each two splits of `images`, (n, px, px, 3), from afar; equal pictures are apart."""
    rows = {split: _evenly(splits[split], MOST_OTHERS) for split in SPLITS}
    looks = {split: signatures(images, rows[split]) for split in SPLITS}
    counts: dict[tuple[Split, Split], int] = {}
    example: tuple[int, int] | None = None
    for one, other in combinations(SPLITS, 2):
        places = _evenly(np.arange(len(rows[one])), MOST_ROWS)
        near, nearest = _nearest(looks[one][places], looks[other])
        asked = rows[one][places]
        near &= ~np.isin(hashes[asked], hashes[splits[other]])
        counts[one, other] = int(near.sum())
        if example is None and near.any():
            first = int(near.argmax())
            example = int(asked[first]), int(rows[other][nearest[first]])
    looked = {split: min(len(found), MOST_ROWS) for split, found in rows.items()}
    return NearCopies(counts, looked, example)


def _evenly(rows: Indices, most: int) -> Indices:
    if len(rows) <= most:
        return rows
    return rows[np.linspace(0, len(rows) - 1, most).astype(np.int64)]


def _nearest(looks: Signatures, others: Signatures) -> tuple[NDArray[np.bool_], Indices]:
    """Which of `looks` have a near copy among `others`, and the place of the nearest there."""
    near, place = np.zeros(len(looks), dtype=bool), np.zeros(len(looks), dtype=np.int64)
    for at in range(0, len(looks) if len(others) else 0, _BLOCK):
        alike = looks[at : at + _BLOCK] @ others.T
        place[at : at + _BLOCK] = alike.argmax(axis=1)
        near[at : at + _BLOCK] = alike.max(axis=1) > ALIKE
    return near, place

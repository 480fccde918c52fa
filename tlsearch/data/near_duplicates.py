"""Near copies of pictures: neighbouring video frames, other compressions, other sizes."""

import functools
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from tlsearch.base.array_types import Pixels
from tlsearch.base.cores import in_order
from tlsearch.data.listing import SPLITS, Split
from tlsearch.data.splits import Indices
from tlsearch.store.arrays import ArrayStore

SIDE = 10  # points per side at which pictures are compared
ALIKE = 0.998  # correlation; at 0.99 some of scikit-learn's digits match others, here none do
MOST_ROWS = 5_000  # of a split, evenly spaced, whose near copies are searched for
MOST_OTHERS = 50_000  # of a later split that are searched
VERSION = 1  # of the kept results: a new version searches again
BLOCK_BYTES = 2**22  # of pixels that a thread reads at a time
_PAIRS = tuple(combinations(SPLITS, 2))
_BLOCK = 1024  # rows that are compared with all others at a time

Signatures = NDArray[np.float32]


@dataclass(frozen=True)
class NearCopies:
    """The numbers of pictures of a split that have a near, not an equal, copy in a later split.

    `counts`: (split, later split) -> how many of the `looked` rows of the former have one.
    `example`: the rows of two such pictures.
    """

    counts: dict[tuple[Split, Split], int]
    looked: dict[Split, int]
    example: tuple[int, int] | None

    @property
    def any(self) -> bool:
        """Whether there is a near copy."""
        return self.example is not None

    def __str__(self) -> str:
        found = ", ".join(
            f"{one} and {other} {count} of {self.looked[one]}"
            for (one, other), count in self.counts.items()
        )
        return f"nearly the same picture in two splits: {found}"


def signatures(images: Pixels, rows: Indices, threads: int) -> Signatures:
    """Thumbnails of some of `images`, (n, px, px, 3), as vectors: (rows, 300), mean 0, length 1.

    A thread holds BLOCK_BYTES of pixels at a time, or one picture.
    """
    step = max(1, BLOCK_BYTES // max(1, images[:1].nbytes))
    blocks = (rows[at : at + step] for at in range(0, len(rows), step))
    parts = list(in_order(lambda block: _coarse(images[block]), blocks, threads))
    flat = np.concatenate(parts) if parts else np.zeros((0, 3), np.float32)
    flat -= flat.mean(axis=1, keepdims=True)
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    plain = length <= 1  # a uniform picture matches no other
    return np.asarray(np.where(plain, 0, flat / np.where(plain, 1, length)), np.float32)


def _coarse(images: Pixels) -> Signatures:
    px = images.shape[1]
    edges = np.linspace(0, px, min(SIDE, px), endpoint=False).astype(np.int64)
    pixels = np.diff(np.append(edges, px))
    bands = zip(edges, edges + pixels, strict=True)
    # A sum over a slice converts few pixels at a time; `reduceat` would convert them all first.
    sums = np.stack([images[:, a:b].sum(axis=1, dtype=np.uint32) for a, b in bands], axis=1)
    means = np.add.reduceat(sums, edges, 2) / (pixels[:, None, None] * pixels[None, :, None])
    return np.asarray(means.reshape(len(images), -1), np.float32)


def near_copies(
    hashes: NDArray[np.uint64], splits: dict[Split, Indices], nearest: Indices
) -> NearCopies:
    """Count the near copies that `nearest_rows` found, without equal pictures."""
    counts: dict[tuple[Split, Split], int] = {}
    example: tuple[int, int] | None = None
    samples = {split: _sample_rows(splits[split]) for split in SPLITS}
    ends = np.cumsum([len(samples[one]) for one, _ in _PAIRS])
    for (one, other), found in zip(_PAIRS, np.split(nearest, ends[:-1]), strict=True):
        near = (found != samples[one]) & ~np.isin(hashes[samples[one]], hashes[splits[other]])
        counts[one, other] = int(near.sum())
        if example is None and near.any():
            first = int(near.argmax())
            example = int(samples[one][first]), int(found[first])
    return NearCopies(counts, {split: len(rows) for split, rows in samples.items()}, example)


def kept_nearest(
    images: Pixels,
    splits: dict[Split, Indices],
    store: ArrayStore,
    key: str,
    threads: int,
) -> Indices:
    """`nearest_rows` of the images with this key, computed once and kept in `store`."""
    rules = f"{VERSION} {SIDE} {ALIKE} {MOST_ROWS} {MOST_OTHERS}"
    digest = hashlib.blake2b(f"{key} {rules}".encode(), digest_size=16)
    for split in SPLITS:
        digest.update(f" {split} {len(splits[split])} ".encode())
        digest.update(np.ascontiguousarray(splits[split], np.int64).data)
    rows = sum(len(_sample_rows(splits[one])) for one, _ in _PAIRS)
    make = functools.partial(_nearest_of_pairs, images, splits, threads)
    return np.asarray(store.open(digest.hexdigest(), rows, make))


def nearest_rows(images: Pixels, splits: dict[Split, Indices], threads: int) -> Indices:
    """Compare thumbnails of `images`, (n, px, px, 3), between every two splits.

    For train and validation, train and test, validation and test in turn: for each examined row of
    the former, the row of the latter that is a near copy, or the row itself if there is none.
    """
    return np.concatenate(list(_nearest_of_pairs(images, splits, threads)))


def _nearest_of_pairs(
    images: Pixels, splits: dict[Split, Indices], threads: int
) -> Iterator[Indices]:
    rows = {split: _evenly(splits[split], MOST_OTHERS) for split in SPLITS}
    looks = {split: signatures(images, rows[split], threads) for split in SPLITS}
    for one, other in _PAIRS:
        indices = _evenly(np.arange(len(rows[one])), MOST_ROWS)
        sample = rows[one][indices]
        near, nearest = _nearest(looks[one][indices], looks[other])
        copies = rows[other][nearest] if len(rows[other]) else sample
        yield np.where(near, copies, sample).astype(np.int64)


def _sample_rows(rows: Indices) -> Indices:
    """The rows of a split whose near copies are searched for."""
    return _evenly(_evenly(rows, MOST_OTHERS), MOST_ROWS)


def _evenly(rows: Indices, most: int) -> Indices:
    if len(rows) <= most:
        return rows
    return rows[np.linspace(0, len(rows) - 1, most).astype(np.int64)]


def _nearest(looks: Signatures, others: Signatures) -> tuple[NDArray[np.bool_], Indices]:
    """Which of `looks` have a near copy among `others`, and the index of the nearest one there."""
    near, index = np.zeros(len(looks), dtype=bool), np.zeros(len(looks), dtype=np.int64)
    for at in range(0, len(looks) if len(others) else 0, _BLOCK):
        alike = looks[at : at + _BLOCK] @ others.T
        index[at : at + _BLOCK] = alike.argmax(axis=1)
        near[at : at + _BLOCK] = alike.max(axis=1) > ALIKE
    return near, index

"""The survey of a data set: its size and decoding time, without reading every image."""

import itertools
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tlsearch.base.errors import DataError
from tlsearch.config.dataset import Data
from tlsearch.config.schema import SearchConfig
from tlsearch.data.decode import read_square
from tlsearch.data.depth import ALONE
from tlsearch.data.listing import Listing
from tlsearch.data.sources import ImageData, known_splits
from tlsearch.search.trial.prepared_images import preparing_threads

SAMPLE = 16  # images that are decoded to estimate the time per image


@dataclass(frozen=True)
class Survey:
    """The size of a data set before it is fully read: the number of classes, the number of images
    per split, and the seconds to decode the images that are not decoded yet.
    """

    classes: int
    images: Mapping[str, int]
    decode_s: float


def survey(config: SearchConfig) -> Survey:
    """Return the survey of a search's images; raises DataError for any problem with them."""
    how = (config.data, config.cache_path, preparing_threads(config.resources))
    if config.data.kind != "tfds":
        return survey_here(*how)
    from tlsearch.search.cluster.ray_session import connect, in_worker

    with connect(config.resources):  # TFDS imports TensorFlow, which the driver never does
        return in_worker(survey_here, *how)


def survey_here(data: Data, cache: Path, threads: int) -> Survey:
    """Return the survey, computed in this process; `threads` threads will decode the images."""
    listing, splits, there = known_splits(data, cache)
    return Survey(
        classes=len(listing.classes),
        images={split: len(rows) for split, rows in splits.items()},
        decode_s=0.0 if there else len(listing.examples) * _decode_s(listing, data) / threads,
    )


def of_read(data: ImageData) -> Survey:
    """Return the survey of images that are already decoded."""
    return Survey(len(data.classes), {split: len(rows) for split, rows in data.splits.items()}, 0.0)


def _decode_s(listing: Listing, data: Data) -> float:
    """Return the seconds that one thread takes to decode an image, as the mean over a sample."""
    began, count = time.perf_counter(), 0
    for picture in itertools.islice(listing.pictures(), SAMPLE):
        try:
            read_square(picture, ALONE, data.image_px)
        except DataError:
            if data.unreadable == "error":
                raise
        count += 1
    return (time.perf_counter() - began) / max(1, count)

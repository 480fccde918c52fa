"""What a data set holds and takes to decode, found out without reading every picture."""

import itertools
import time
from pathlib import Path

from tlsearch.base.errors import DataError
from tlsearch.config.dataset import Data
from tlsearch.config.schema import SearchConfig
from tlsearch.data.decode import read_square
from tlsearch.data.depth import ALONE
from tlsearch.data.listing import Listing
from tlsearch.data.sources import ImageData, known_splits
from tlsearch.search.cost.plan import Survey
from tlsearch.search.trial.prepared_images import preparing_threads

SAMPLE = 16  # pictures that are decoded to see how long one takes


def survey(config: SearchConfig) -> Survey:
    """Of the images as the search will find them; all that is wrong with them: DataError."""
    how = (config.data, config.cache_path, preparing_threads(config.resources))
    if config.data.kind != "tfds":
        return surveyed(*how)
    from tlsearch.search.cluster.ray_session import connect, in_worker

    with connect(config.resources):  # TFDS imports TensorFlow, which the driver never does
        return in_worker(surveyed, *how)


def surveyed(data: Data, cache: Path, threads: int) -> Survey:
    """The same in this process, where so many threads decode."""
    listing, splits, there = known_splits(data, cache)
    return Survey(
        classes=len(listing.classes),
        images={split: len(rows) for split, rows in splits.items()},
        decode_s=0.0 if there else len(listing.examples) * _decode_s(listing, data) / threads,
    )


def of_read(data: ImageData) -> Survey:
    """Of images that are decoded."""
    return Survey(len(data.classes), {split: len(rows) for split, rows in data.splits.items()}, 0.0)


def _decode_s(listing: Listing, data: Data) -> float:
    """Seconds that one thread takes for a picture."""
    began, count = time.perf_counter(), 0
    for picture in itertools.islice(listing.pictures(), SAMPLE):
        try:
            read_square(picture, ALONE, data.image_px)
        except DataError:
            if data.unreadable == "error":
                raise
        count += 1
    return (time.perf_counter() - began) / max(1, count)

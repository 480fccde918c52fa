"""The baselines that a search must beat: scores without a network on the same validation split."""

import functools
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tlsearch.data.sources import ImageData, Rows

THUMBNAIL_PX = 16
CHEAP_IMAGES = 5000


class Baselines:
    """The baseline scores of a data set, computed in a background thread."""

    def __init__(self, data: ImageData) -> None:
        self._data = data

    def begin(self) -> None:
        """Start computing the scores, unless that was done already."""
        _ = self._computed

    def scores(self) -> dict[str, float]:
        """Wait for the scores and return them by name."""
        return self._computed.result()

    @functools.cached_property
    def _computed(self) -> Future[dict[str, float]]:
        pool = ThreadPoolExecutor(1, thread_name_prefix="baselines")
        computed = pool.submit(accuracy_baselines, self._data)
        pool.shutdown(wait=False)  # no more work follows
        return computed


def accuracy_baselines(data: ImageData) -> dict[str, float]:
    """Return the validation accuracy of the majority class and of a classifier on raw pixels.

    The second is a logistic regression on 16 x 16 thumbnails; it is computed for at most 5,000
    training images.
    """
    train, validation = data.split_labels("train"), data.split_labels("validation")
    majority = int(np.bincount(train).argmax())
    scores = {"majority class": float((validation == majority).mean())}
    if len(train) <= CHEAP_IMAGES:
        scores["logistic regression on pixels"] = _on_pixels(data)
    return scores


def _on_pixels(data: ImageData) -> float:
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=0.01, max_iter=200)
    model.fit(_thumbnails(data.images("train")), data.split_labels("train"))
    return float(
        model.score(_thumbnails(data.images("validation")), data.split_labels("validation"))
    )


def _thumbnails(images: Rows) -> NDArray[np.float32]:
    """Return each image resized to 16 x 16 pixels and flattened, from -0.5 to 0.5: (n, 768)."""
    size = (THUMBNAIL_PX, THUMBNAIL_PX)
    small = [
        np.asarray(Image.fromarray(images[i : i + 1][0]).resize(size, Image.Resampling.BILINEAR))
        for i in range(len(images))
    ]
    pixels = np.stack(small).reshape(len(small), -1).astype(np.float32)
    return pixels / np.float32(255) - np.float32(0.5)

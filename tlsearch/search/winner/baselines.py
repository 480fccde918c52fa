"""What a search must beat: scores that cost no network, on the same validation split."""

import functools
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tlsearch.data.sources import ImageData, Rows

THUMBNAIL_PX = 16
CHEAP_IMAGES = 5000


class Baselines:
    """The scores of some images, computed in a thread from when they are begun."""

    def __init__(self, data: ImageData) -> None:
        self._data = data

    def begin(self) -> None:
        """Begin to compute them, unless that was done."""
        _ = self._computed

    def scores(self) -> dict[str, float]:
        """The scores, once they are there."""
        return self._computed.result()

    @functools.cached_property
    def _computed(self) -> Future[dict[str, float]]:
        pool = ThreadPoolExecutor(1, thread_name_prefix="baselines")
        computed = pool.submit(accuracy_baselines, self._data)
        pool.shutdown(wait=False)  # takes no more
        return computed


def accuracy_baselines(data: ImageData) -> dict[str, float]:
    """Validation accuracy of the majority class and, up to 5,000 images, of raw pixels.

    The second is a logistic regression on 16 x 16 thumbnails.
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
    """Each image shrunk to 16 x 16 pixels, flat, about -0.5 ... 0.5: (n, 768)."""
    size = (THUMBNAIL_PX, THUMBNAIL_PX)
    small = [
        np.asarray(Image.fromarray(images[i : i + 1][0]).resize(size, Image.Resampling.BILINEAR))
        for i in range(len(images))
    ]
    pixels = np.stack(small).reshape(len(small), -1).astype(np.float32)
    return pixels / np.float32(255) - np.float32(0.5)

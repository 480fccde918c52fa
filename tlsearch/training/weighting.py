"""How much an image of each class counts in training."""

import numpy as np
from numpy.typing import NDArray

from tlsearch.bundle.metrics import Labels


def class_weights(kind: str, labels: Labels, classes: int) -> NDArray[np.float32] | None:
    """(classes,) weights whose mean over the training images is 1, so that each class counts as
    much as any other; None where all images count alike. A class without images counts nothing.
    """
    if kind == "none":
        return None
    counts = np.bincount(labels, minlength=classes)
    present = np.count_nonzero(counts)
    return np.where(counts > 0, len(labels) / (present * np.maximum(counts, 1)), 0).astype("f4")

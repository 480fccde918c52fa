"""Scores of predicted probabilities against labels, by the names that a search space uses."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.int32]
Probabilities = NDArray[Any]

CALIBRATION_BINS = 15


def log_loss(labels: Labels, probabilities: Probabilities) -> float:
    """Mean cross-entropy in nats; probabilities (n, classes) are clipped at 1e-7."""
    return float(image_losses(labels, probabilities).mean())


def image_losses(labels: Labels, probabilities: Probabilities) -> NDArray[Any]:
    """Cross-entropy of each image, (n,), whose mean is the log loss."""
    chosen = probabilities[np.arange(len(labels)), labels]
    losses: NDArray[Any] = -np.log(np.clip(chosen, 1e-7, 1.0))
    return losses


def accuracy(labels: Labels, probabilities: Probabilities) -> float:
    """Share of images whose most probable class is theirs."""
    return float((probabilities.argmax(axis=1) == labels).mean())


def top_k_accuracy(labels: Labels, probabilities: Probabilities, k: int) -> float:
    """Share of images whose class is among their k most probable ones; of equals the first."""
    if not np.isfinite(probabilities).all():
        return float("nan")
    named = np.argsort(-probabilities, axis=1, kind="stable")[:, :k]
    return float((named == labels[:, None]).any(axis=1).mean())


def calibration_error(labels: Labels, probabilities: Probabilities) -> float:
    """Expected calibration error: how far confidence lies from accuracy, 0 to 1.

    The confidence of an image is its greatest probability. Images are put into 15 bins of equal
    width, (0, 1/15], (1/15, 2/15], ...; the error is the mean over the bins, weighted by their
    images, of |accuracy - mean confidence| (Guo et al. 2017, arXiv:1706.04599).
    """
    if not np.isfinite(probabilities).all():
        return float("nan")
    sure = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    bins = np.clip(np.ceil(sure * CALIBRATION_BINS).astype(np.int64) - 1, 0, CALIBRATION_BINS - 1)
    gaps = np.bincount(bins, weights=right - sure, minlength=CALIBRATION_BINS)
    return float(np.abs(gaps).sum() / len(labels))


def score(metric: str, labels: Labels, probabilities: Probabilities) -> float:
    """The value of a catalogue metric; NaN where the probabilities are not finite."""
    if not np.isfinite(probabilities).all():
        return float("nan")
    if metric == "accuracy":
        return accuracy(labels, probabilities)
    if metric == "loss":
        return log_loss(labels, probabilities)
    from sklearn import metrics

    guess = probabilities.argmax(axis=1)
    if metric == "balanced_accuracy":
        return float(metrics.balanced_accuracy_score(labels, guess))
    if metric == "macro_f1":
        return float(metrics.f1_score(labels, guess, average="macro"))
    return _auc(labels, probabilities)


def _auc(labels: Labels, probabilities: Probabilities) -> float:
    """Area under the ROC curve, one class against the rest, averaged over the classes; NaN where a
    class has no image.
    """
    from sklearn.metrics import roc_auc_score

    if len(np.unique(labels)) < probabilities.shape[1]:
        return float("nan")
    if probabilities.shape[1] == 2:
        return float(roc_auc_score(labels, probabilities[:, 1]))
    return float(roc_auc_score(labels, probabilities, multi_class="ovr"))

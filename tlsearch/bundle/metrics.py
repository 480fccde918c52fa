"""Scores of predicted probabilities against labels, by the names that a search space uses."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.int32]
Probabilities = NDArray[Any]


def log_loss(labels: Labels, probabilities: Probabilities) -> float:
    """Mean cross-entropy in nats; probabilities (n, classes) are clipped at 1e-7."""
    chosen = probabilities[np.arange(len(labels)), labels]
    return float(-np.log(np.clip(chosen, 1e-7, 1.0)).mean())


def accuracy(labels: Labels, probabilities: Probabilities) -> float:
    """Share of images whose most probable class is theirs."""
    return float((probabilities.argmax(axis=1) == labels).mean())


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
    """Area under the ROC curve, one class against the rest, averaged over the classes."""
    from sklearn.metrics import roc_auc_score

    if probabilities.shape[1] == 2:
        return float(roc_auc_score(labels, probabilities[:, 1]))
    return float(roc_auc_score(labels, probabilities, multi_class="ovr"))

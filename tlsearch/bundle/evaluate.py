"""Evaluation of a model on labelled images: scores, confusion matrix, and scores per class."""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tlsearch.base.array_types import Classes, Floats
from tlsearch.base.errors import DataError
from tlsearch.base.phases import phase
from tlsearch.bundle.metrics import calibration_error, score, top_k_accuracy
from tlsearch.bundle.open_bundle import OpenModel, open_model
from tlsearch.config.catalog import METRICS
from tlsearch.data.classes import rename_as_in_training
from tlsearch.data.kinds.folder import list_raw_folder
from tlsearch.data.listing import Listing

TOP = (2, 3, 5)  # the k of top-k accuracy, each used if there are more than k classes


@dataclass(frozen=True)
class ClassScore:
    """Precision, recall and F1 of one class; `images` is the number of images with this label."""

    label: str
    precision: float
    recall: float
    f1: float
    images: int


@dataclass(frozen=True)
class Evaluation:
    """Scores of a model on labelled images.

    `confusion[i][j]` counts the images of class i that were predicted as class j.
    """

    images: int
    scores: dict[str, float]
    classes: tuple[ClassScore, ...]
    confusion: tuple[tuple[int, ...], ...]

    def to_json(self) -> dict[str, object]:
        """The evaluation as plain values."""
        return asdict(self)


def evaluate(
    model_path: str | Path, folder: str | Path, form: str | None = None, verify: bool = True
) -> Evaluation:
    """Evaluate a bundle, or one of its files, on an image folder with one subfolder per class.

    Classes are renamed as in training. Raises DataError if the folder still has a class that the
    model does not know, or if an image cannot be read.
    """
    model = open_model(Path(model_path), form, verify)
    listing = rename_as_in_training(list_raw_folder(Path(folder)), model.renames)
    indices = _indices(listing, model)
    labels = np.array([indices[e.label] for e in listing.examples], dtype=np.int32)
    return measure(labels, _probabilities(listing, model), model.labels)


def measure(labels: NDArray[np.int32], probabilities: Floats, names: tuple[str, ...]) -> Evaluation:
    """Compute all scores of predicted probabilities, (n, classes), against labels, (n,)."""
    counts = confusion(labels, probabilities.argmax(axis=1), len(names))
    return Evaluation(
        images=len(labels),
        scores=_scores(labels, probabilities),
        classes=tuple(_class_score(names[i], counts, i) for i in range(len(names))),
        confusion=tuple(tuple(row) for row in counts.tolist()),
    )


def _scores(labels: NDArray[np.int32], probabilities: Floats) -> dict[str, float]:
    """Compute the catalogue's metrics, the top-k accuracies and the expected calibration error.

    The AUC is left out if a class has no image.
    """
    classes = probabilities.shape[1]
    present = set(labels.tolist()) == set(range(classes))
    scores = {n: score(n, labels, probabilities) for n in METRICS if present or n != "auc"}
    for k in TOP:
        if k < classes:
            scores[f"top_{k}_accuracy"] = top_k_accuracy(labels, probabilities, k)
    return {**scores, "calibration_error": calibration_error(labels, probabilities)}


def confusion(labels: Classes, guess: Classes, classes: int) -> NDArray[np.int64]:
    """Return the confusion matrix: [i, j] counts the images of class i predicted as class j."""
    counts = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(counts, (labels, guess), 1)
    return counts


def _class_score(label: str, counts: NDArray[np.int64], index: int) -> ClassScore:
    right, predicted, true = counts[index, index], counts[:, index].sum(), counts[index].sum()
    precision = float(right / predicted) if predicted else 0.0
    recall = float(right / true) if true else 0.0
    both = precision + recall
    f1 = 2 * precision * recall / both if both else 0.0
    return ClassScore(label, precision, recall, f1, int(true))


def _indices(listing: Listing, model: OpenModel) -> list[int]:
    """Return the index of each of the folder's classes in the model's output."""
    unknown = sorted(set(listing.classes) - set(model.labels))
    if unknown:
        raise DataError(
            f"{listing.source}: classes that the model does not know: {', '.join(unknown)}; "
            f"it knows {', '.join(model.labels)}"
        )
    return [model.labels.index(name) for name in listing.classes]


def _probabilities(listing: Listing, model: OpenModel) -> Floats:
    files = [picture for picture in listing.pictures() if isinstance(picture, Path)]
    with phase("evaluating", len(files), "pictures") as counter:
        return model.of_files(files, counter.advance)

"""The images and predictions of a report, kept in the study so that the report needs no data."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tlsearch.base.array_types import Floats, Pixels
from tlsearch.base.files import atomic_file, write_json
from tlsearch.base.links import path_inside
from tlsearch.bundle.evaluate import measure
from tlsearch.data.listing import SPLITS
from tlsearch.data.sources import ImageData
from tlsearch.results.record.file_names import DATA, TEST, WINNER

THUMBNAIL_PX = 112
SAMPLES_PER_CLASS = 3
MOST_SAMPLES = 300  # images, each of them a file and a part of the report's page
SHOWN = 12


def write_data(folder: Path, data: ImageData) -> None:
    """Write data.json: the number of images per class and split, sample images, and findings.

    Every class has samples, unless there are more than `MOST_SAMPLES` classes. The findings are
    duplicates, notes, images left out as unreadable, and images moved between splits to fill a
    small class.
    """
    labels = data.split_labels("train")
    each = max(1, min(SAMPLES_PER_CLASS, MOST_SAMPLES // len(data.classes)))
    samples = {}
    for place in _spread(np.arange(len(data.classes)), MOST_SAMPLES // each).tolist():
        name = data.classes[place]
        rows = _spread(np.flatnonzero(labels == place), each)
        pictures = data.images("train")[rows]
        names = [f"samples/{place}_{number}.jpg" for number in range(len(rows))]
        for file, pixels in zip(names, pictures, strict=True):
            _thumbnail(folder, file, pixels)
        samples[name] = names
    counts = {split: _counts(data, data.split_labels(split)) for split in SPLITS}
    about = {
        "classes": list(data.classes),
        "images": counts,
        "duplicates": data.duplicates,
        "notes": list(data.notes),
        "moved": {split: dict(of) for split, of in data.moved.items()},
        "unreadable": list(data.unreadable),
    }
    write_json(folder / DATA, {**about, "samples": samples})


def write_winner(folder: Path, data: ImageData, trial: int, probabilities: Floats) -> None:
    """Write winner.json: the winner's evaluation on validation, its worst mistakes, and a sample.

    `probabilities`: (n, classes), in the order of the validation split.
    """
    labels = data.split_labels("validation")
    guess, sure = probabilities.argmax(axis=1), probabilities.max(axis=1)
    wrong = np.flatnonzero(guess != labels)
    mistakes = wrong[np.argsort(-sure[wrong], kind="stable")][:SHOWN]
    chosen = {"mistakes": mistakes, "predictions": _spread(np.arange(len(labels)), SHOWN)}
    thumbnails = {
        kind: _write_thumbnails(folder, kind, rows, data, probabilities)
        for kind, rows in chosen.items()
    }
    write_json(
        folder / WINNER,
        {
            "trial": trial,
            "split": "validation",
            "evaluation": measure(labels, probabilities, data.classes).to_json(),
            "mistakes": thumbnails["mistakes"],
            "samples": thumbnails["predictions"],
        },
    )


def write_test(folder: Path, trial: int, evaluation: dict[str, Any]) -> None:
    """Write test.json: the winner's evaluation on the test split, without any of its images."""
    write_json(folder / TEST, {"trial": trial, "split": "test", "evaluation": evaluation})


def _write_thumbnails(
    folder: Path, kind: str, rows: NDArray[np.int64], data: ImageData, probabilities: Floats
) -> list[dict[str, object]]:
    """Write thumbnails of some validation images; return each with its true and predicted class."""
    labels, images = data.split_labels("validation"), data.images("validation")
    found = []
    for number, row in enumerate(rows):
        file = f"{kind}/{number:02d}.jpg"
        _thumbnail(folder, file, images[rows[number : number + 1]][0])
        place = int(probabilities[row].argmax())
        found.append(
            {
                "picture": file,
                "shown": data.classes[labels[row]],
                "called": data.classes[place],
                "probability": float(probabilities[row, place]),
            }
        )
    return found


def _counts(data: ImageData, labels: NDArray[np.int32]) -> dict[str, int]:
    counts = np.bincount(labels, minlength=len(data.classes))
    return dict(zip(data.classes, counts.tolist(), strict=True))


def _spread(rows: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Return at most `count` of the rows, evenly spaced."""
    places = np.linspace(0, len(rows) - 1, min(count, len(rows)))
    return rows[places.round().astype(np.int64)]


def _thumbnail(folder: Path, name: str, pixels: Pixels) -> None:
    within, file_name = name.split("/")
    image = Image.fromarray(pixels)
    image.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX))
    with atomic_file(path_inside(folder, within) / file_name) as file:
        image.save(file, "JPEG", quality=85)

"""An exported model and image files -> labels with probabilities."""

import json
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from tlsearch.data.decode import read_pixels
from tlsearch.data.folder import IMAGE_SUFFIXES
from tlsearch.errors import DataError, RecordError
from tlsearch.training.export import LABELS

BATCH = 32


@dataclass(frozen=True)
class Prediction:
    """One image's classes, most probable first; `error` where it could not be read."""

    path: Path
    ranking: tuple[tuple[str, float], ...] = ()
    error: str | None = None


def predict_files(model_path: Path, images: Iterable[Path], top: int = 3) -> Iterator[Prediction]:
    """Predict image files, and those in folders, in order; an unreadable one does not end it.

    Raises RecordError where the model file is not one that tlsearch exported, DataError where
    there is no image.
    """
    files = list(_files(images))
    model, labels = load_exported(model_path)
    for start in range(0, len(files), BATCH):
        yield from _predict_batch(model, labels, files[start : start + BATCH], top)


def load_exported(path: Path) -> tuple[keras.Model, list[str]]:
    """The model of an exported file, in Keras' safe mode, and its labels in output order."""
    try:
        with zipfile.ZipFile(path) as archive:
            labels = json.loads(archive.read(LABELS))
        return keras.models.load_model(path, safe_mode=True, compile=False), labels
    except FileNotFoundError:
        raise RecordError(f"{path}: no such model file") from None
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError, OSError) as error:
        raise RecordError(f"{path}: not a model exported by tlsearch ({error})") from error


def _files(images: Iterable[Path]) -> Iterator[Path]:
    for path in images:
        if path.is_dir():
            found = sorted(p for p in path.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
            if not found:
                raise DataError(f"{path}: no image files in this folder")
            yield from found
        elif path.exists():
            yield path
        else:
            raise DataError(f"{path}: no such file or folder")


def _predict_batch(
    model: keras.Model, labels: list[str], files: list[Path], top: int
) -> Iterator[Prediction]:
    pixels: dict[Path, NDArray[Any]] = {}
    errors: dict[Path, str] = {}
    for file in files:
        try:
            pixels[file] = _resized(model, read_pixels(file))
        except DataError as error:
            errors[file] = str(error)
    found = dict(zip(pixels, _probabilities(model, list(pixels.values())), strict=True))
    for file in files:
        if file in errors:
            yield Prediction(file, error=errors[file])
        else:
            yield Prediction(file, _ranking(found[file], labels, top))


def _resized(model: keras.Model, image: NDArray[Any]) -> NDArray[Any]:
    """The model's own resize, ahead of it, so that pictures of all sizes share a batch."""
    resized: NDArray[Any] = model.get_layer("resize")(image[None].astype(np.float32)).numpy()[0]
    return resized


def _probabilities(model: keras.Model, images: list[NDArray[Any]]) -> NDArray[Any]:
    if not images:
        return np.empty((0, 0))
    probabilities: NDArray[Any] = model(np.stack(images), training=False).numpy()
    return probabilities


def _ranking(row: NDArray[Any], labels: list[str], top: int) -> tuple[tuple[str, float], ...]:
    return tuple((labels[i], float(row[i])) for i in np.argsort(-row, kind="stable")[:top])

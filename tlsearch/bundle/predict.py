"""Prediction of image files: labels with probabilities."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tlsearch.base.array_types import Floats, Pixels
from tlsearch.base.errors import DataError
from tlsearch.base.shown_text import to_storable
from tlsearch.bundle.open_bundle import OpenModel, iter_batches, open_model, read_ahead
from tlsearch.data.kinds.folder import image_files as folder_files


@dataclass(frozen=True)
class Prediction:
    """One image's classes, most probable first; `error` says why it could not be read."""

    path: Path
    ranking: tuple[tuple[str, float], ...] = ()
    error: str | None = None


def predict_files(
    model_path: str | Path,
    images: str | Path | Iterable[str | Path],
    top: int = 3,
    form: str | None = None,
    verify: bool = True,
) -> Iterator[Prediction]:
    """Predict image files, given or in given folders, in order; errors are yielded per image.

    `model_path` is a bundle, one of its files, or a single `.keras` file; `images` is one path or
    several, of files and folders. Raises RecordError if the model cannot be opened, DataError if a
    path does not exist or a folder has no images.
    """
    several = [images] if isinstance(images, str | Path) else images
    files = list(image_files(map(Path, several)))
    model = open_model(Path(model_path), form, verify)
    read = read_ahead(lambda file: _Read.of(model, file), files)
    for batch in iter_batches(read, lambda one: one.pixels.nbytes):
        yield from _predict_batch(model, batch, top)


def image_files(images: Iterable[Path]) -> Iterator[Path]:
    """Yield the given files and the image files in the given folders, in order.

    A folder that cannot be listed is yielded itself, so that reading it reports why. Raises
    DataError if a path does not exist or a folder has no images.
    """
    for path in images:
        if path.is_dir():
            closed: list[OSError] = []
            found = folder_files(path, closed.append)
            if not found and not closed:
                raise DataError(f"{to_storable(path)}: no image files in this folder")
            yield from found
            yield from (Path(error.filename) for error in closed)  # reading them reports why
        elif path.exists() or path.is_symlink():
            yield path
        else:
            raise DataError(f"{to_storable(path)}: no such file or folder")


def ranking(row: Floats, labels: Sequence[str], top: int) -> tuple[tuple[str, float], ...]:
    """Return the `top` most probable labels of one image, with their probabilities."""
    return tuple((labels[i], float(row[i])) for i in np.argsort(-row, kind="stable")[:top])


@dataclass(frozen=True, eq=False)
class _Read:
    """A file's pixels, (height, width, 3) uint8, or why it could not be read."""

    file: Path
    pixels: Pixels
    error: str | None = None

    @classmethod
    def of(cls, model: OpenModel, file: Path) -> "_Read":
        try:
            return cls(file, model.read(file))
        except DataError as error:
            return cls(file, np.empty((0, 0, 3), np.uint8), str(error))


def _predict_batch(model: OpenModel, batch: Sequence[_Read], top: int) -> Iterator[Prediction]:
    rows = iter(model([one.pixels for one in batch if one.error is None]))
    for one in batch:
        if one.error is None:
            yield Prediction(one.file, ranking(next(rows), model.labels, top))
        else:
            yield Prediction(one.file, error=one.error)

"""Image files -> labels with probabilities."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tlsearch.base.array_types import Floats, Pixels
from tlsearch.base.errors import DataError
from tlsearch.base.shown_text import storable
from tlsearch.bundle.open_bundle import OpenModel, batched, open_model, read_ahead
from tlsearch.data.kinds.folder import image_files as folder_files


@dataclass(frozen=True)
class Prediction:
    """One image's classes, most probable first; `error` where it could not be read."""

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
    """Predict image files, and those in folders, in order; an unreadable one does not end it.

    `model_path` is a bundle, one of its files, or a lone `.keras` file; `images` are paths of files
    and folders, or one path. Raises RecordError where that is no such thing, DataError where there
    is no image.
    """
    several = [images] if isinstance(images, str | Path) else images
    files = list(image_files(map(Path, several)))
    model = open_model(Path(model_path), form, verify)
    read = read_ahead(lambda file: _Read.of(model, file), files)
    for batch in batched(read, lambda one: one.pixels.nbytes):
        yield from _predict_batch(model, batch, top)


def image_files(images: Iterable[Path]) -> Iterator[Path]:
    """The files named, and the image files in the folders named, in order; a folder that cannot be
    listed stands for itself.
    """
    for path in images:
        if path.is_dir():
            closed: list[OSError] = []
            found = folder_files(path, closed.append)
            if not found and not closed:
                raise DataError(f"{storable(path)}: no image files in this folder")
            yield from found
            yield from (Path(error.filename) for error in closed)  # reading them says why
        elif path.exists() or path.is_symlink():
            yield path
        else:
            raise DataError(f"{storable(path)}: no such file or folder")


def ranking(row: Floats, labels: Sequence[str], top: int) -> tuple[tuple[str, float], ...]:
    """The `top` most probable labels of one picture, with their probabilities."""
    return tuple((labels[i], float(row[i])) for i in np.argsort(-row, kind="stable")[:top])


@dataclass(frozen=True, eq=False)
class _Read:
    """A file's pixels, (height, width, 3) uint8, or why there are none."""

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

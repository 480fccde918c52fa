"""Images and labels as NumPy arrays in one `.npz` file, read row by row and without unpickling.

`images`: (n, height, width) or (n, height, width, 1 or 3) uint8. `labels`: (n,), whole numbers or
names. `classes`, which is optional: (k,) names; labels that are numbers are indices into it.
Follows https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html.
"""

import math
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from tlsearch.base.array_types import AnyArray
from tlsearch.base.errors import DataError
from tlsearch.base.files import DAMAGED_ARCHIVE
from tlsearch.base.shown_text import escape_controls
from tlsearch.data.listing import Example, Listing
from tlsearch.data.paths import file_at, file_version
from tlsearch.data.picture_file import most_pixels

MOST_IMAGES = 10_000_000
NAME_BYTES = 4 * 1000  # of a class name, in UTF-32
MOST_BYTES = 2**30  # of an array of labels or names
HOLDS = "the arrays images and labels"

Shape = tuple[int, ...]


def list_npz(path: Path) -> Listing:
    """List the images of a file; an example's key is its row. Raises DataError for a bad file."""
    path = file_at(path, HOLDS)
    with _member(path, "images") as (_, shape, kind):
        require_images(str(path), shape, kind)
    labels = _small(path, "labels")
    require_labels(str(path), labels.shape, labels.dtype, shape[0])
    classes, indices = _classes(path, labels)
    version = file_version(path)
    examples = [
        Example(f"{row:07d}", label, version=version) for row, label in enumerate(indices.tolist())
    ]
    return Listing(str(path), classes, examples, lambda: _images(path))


def require_images(name: str, shape: Shape, kind: np.dtype[np.generic]) -> None:
    """Raise DataError unless an array of this shape and dtype holds usable images."""
    grey, colour = len(shape) == 3, len(shape) == 4 and shape[3] in (1, 3)
    expected = "expected (n, height, width), or (n, height, width, 1 or 3), of uint8 from 0 to 255"
    if not (grey or colour) or kind != np.uint8:
        raise DataError(f"{name}: images: found {shape} of {kind}, {expected}")
    if not 0 < shape[0] <= MOST_IMAGES:
        raise DataError(f"{name}: images: found {shape[0]}, expected 1 to {MOST_IMAGES}")
    if not 0 < shape[1] * shape[2] <= most_pixels():
        raise DataError(
            f"{name}: images: found {shape[1]} x {shape[2]} pixels, expected 1 to {most_pixels()} "
            "pixels"
        )


def require_labels(name: str, shape: Shape, kind: np.dtype[np.generic], images: int) -> None:
    """Raise DataError unless an array of this shape and dtype holds one label for each image."""
    if shape != (images,) or kind.kind not in "iuU" or kind.itemsize > NAME_BYTES:
        raise DataError(
            f"{name}: labels: found {shape} of {kind}, expected ({images},) of whole numbers or "
            "names, one for each image"
        )


def _classes(path: Path, labels: AnyArray) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """The names of the classes that occur, and the class index of each label."""
    found, indices = np.unique(labels, return_inverse=True)
    names = _names(path)
    if names is None or labels.dtype.kind == "U":
        return tuple(escape_controls(str(one)) for one in found), indices
    if found[0] < 0 or found[-1] >= len(names):
        raise DataError(
            f"{path}: labels: found {found[0]} to {found[-1]}, expected 0 to {len(names) - 1}, "
            "the indices into classes"
        )
    return tuple(names[int(one)] for one in found), indices


def _names(path: Path) -> list[str] | None:
    with _archive(path) as archive:
        if "classes.npy" not in archive.namelist():
            return None
    names = _small(path, "classes")
    if names.ndim != 1 or names.dtype.kind != "U" or len({*names.tolist()}) < len(names):
        raise DataError(f"{path}: classes: expected distinct names as text")
    return [escape_controls(name) for name in names.tolist()]


def _small(path: Path, name: str) -> AnyArray:
    """Read a whole array of labels or names."""
    with _member(path, name) as (file, shape, kind):
        if len(shape) != 1 or shape[0] > MOST_IMAGES or kind.kind not in "iuU":
            raise DataError(f"{path}: {name}: found {shape} of {kind}, expected numbers or names")
        if kind.itemsize > NAME_BYTES:
            raise DataError(
                f"{path}: {name}: found names of up to {kind.itemsize // 4} characters, expected "
                f"at most {NAME_BYTES // 4}"
            )
        if (size := shape[0] * kind.itemsize) > MOST_BYTES:
            raise DataError(f"{path}: {name}: found {size} bytes, expected at most {MOST_BYTES}")
        return np.frombuffer(_exactly(file, shape[0] * kind.itemsize), kind)


def _images(path: Path) -> Iterator[NDArray[np.uint8]]:
    """Yield each image, (height, width, 3)."""
    with _member(path, "images") as (file, shape, _):
        for _ in range(shape[0]):
            raw = np.frombuffer(_exactly(file, math.prod(shape[1:])), np.uint8)
            image = raw.reshape(*shape[1:3], -1)
            yield np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image


def _exactly(file: IO[bytes], count: int) -> bytes:
    found = file.read(count)
    if len(found) < count:
        raise ValueError("it ends too early")
    return found


@contextmanager
def _archive(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open the archive; raises DataError if the file is not one or is damaged."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except DataError:
        raise
    except DAMAGED_ARCHIVE as error:
        raise DataError(f"{path}: cannot be read as an .npz file ({error})") from error


@contextmanager
def _member(path: Path, name: str) -> Iterator[tuple[IO[bytes], Shape, np.dtype[np.generic]]]:
    """Open an array of the archive: the file, positioned after its header, its shape and its dtype.

    Raises DataError for a missing array, for an array of Python objects, which would be a pickle,
    and for an array in column-major order.
    """
    with _archive(path) as archive:
        if f"{name}.npy" not in archive.namelist():
            held = ", ".join(entry.removesuffix(".npy") for entry in archive.namelist()[:10])
            raise DataError(f"{path}: no array {name} in it; found {held or 'none'}")
        with archive.open(f"{name}.npy") as file:
            version = npy.read_magic(file)
            reads = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            shape, fortran, kind = reads(file)
            if kind.hasobject:
                raise DataError(f"{path}: {name}: an array of Python objects, expected numbers")
            if fortran:
                raise DataError(
                    f"{path}: {name}: found Fortran (column-major) order, expected C order; save "
                    f"numpy.ascontiguousarray({name})"
                )
            yield file, shape, kind

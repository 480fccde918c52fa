"""Opening a bundle, or a single exported `.keras` file: images in, probabilities out."""

import logging
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np

from tlsearch.base.array_types import Floats, Pixels
from tlsearch.base.cores import granted_cores, in_order
from tlsearch.base.errors import RecordError
from tlsearch.base.files import parse_json
from tlsearch.bundle import runtimes
from tlsearch.bundle.manifest import LABELS, locate, read_manifest
from tlsearch.bundle.runtimes import Predict
from tlsearch.bundle.self_contained import require_self_contained
from tlsearch.config.catalog import EXPORT_FORMATS, ExportFormat
from tlsearch.data.decode import pixels_of, resize
from tlsearch.data.depth import Bits
from tlsearch.results.record.file_names import MANIFEST

log = logging.getLogger(__name__)

BITS = "bits.json"  # in a `.keras` file, beside its labels
BATCH = 32  # images
BATCH_BYTES = 2**25  # bytes of pixels as uint8; a network takes four times as much as float32
AHEAD = 4  # images that are read ahead, at most

Read = TypeVar("Read")


@dataclass(frozen=True)
class OpenModel:
    """A loaded model with its labels and its preprocessing of images.

    `renames` maps class names, or patterns of names, as found in the data to labels. `bits` says at
    which bit depth 16-bit images are read, the same as in training.
    """

    labels: tuple[str, ...]
    form: ExportFormat
    image_px: int
    run: Predict
    renames: Mapping[str, str] = field(default_factory=dict)
    bits: Bits | None = None

    def read(self, picture: Path | BinaryIO) -> Pixels:
        """Read an image as in training: (height, width, 3) uint8; raises PictureError.

        The image is resized to a square if the model file takes squares.
        """
        with self.reading(picture) as pixels:
            return pixels if self.form.any_size else resize(pixels, self.image_px)

    def reading(self, picture: Path | BinaryIO) -> AbstractContextManager[Pixels]:
        """Read an image at its own size; it counts against the decoding budget during the block."""
        return pixels_of(picture, self.bits)

    def of_files(
        self, files: Iterable[Path], done: Callable[[int], object] = lambda pictures: None
    ) -> Floats:
        """Return the probabilities, (n, classes), of image files, in order.

        Images are predicted in batches of bounded size; `done` is called with the size of each.
        Raises PictureError for the first file that cannot be read.
        """
        found = []
        for batch in iter_batches(read_ahead(self.read, files), _bytes):
            found.append(self(batch))
            done(len(batch))
        return np.concatenate(found) if found else np.empty((0, len(self.labels)), np.float32)

    def __call__(self, pictures: Sequence[Pixels]) -> Floats:
        """Return the probabilities, (n, classes), of images (height, width, 3) uint8 of any sizes.

        A model file that takes any size gets the images as they are: in one batch if all have the
        same size, else one by one. A file that takes squares gets one batch of images, resized as
        in training. Each row sums to 1, even if the model file rounds its probabilities.
        """
        if not pictures:
            return np.empty((0, len(self.labels)), np.float32)
        if self.form.any_size and any(p.shape != pictures[0].shape for p in pictures):
            rows = np.concatenate([self.run(picture[None]) for picture in pictures])
        else:
            if not self.form.any_size:
                pictures = [resize(picture, self.image_px) for picture in pictures]
            rows = self.run(np.stack(pictures))
        return _sum_to_one(self._check_shape(rows, len(pictures)))

    def _check_shape(self, rows: Floats, pictures: int) -> Floats:
        """Return the model's output; raises RecordError if its shape is not (images, classes)."""
        classes = len(self.labels) or rows.shape[-1]  # the reload check passes no labels
        if rows.shape != (pictures, classes):
            raise RecordError(
                f"the {self.form.name} file gives an output of shape {rows.shape} for {pictures} "
                f"pictures, expected probabilities of {classes} classes for each"
            )
        return rows


def read_ahead(read: Callable[[Path], Read], files: Iterable[Path]) -> Iterator[Read]:
    """Yield `read(file)` for each file, in order, computed by threads a few files ahead."""
    return in_order(read, files, min(AHEAD, granted_cores()), ahead=1)


def iter_batches(pictures: Iterable[Read], size: Callable[[Read], int]) -> Iterator[list[Read]]:
    """Yield batches of at most `BATCH` images and at most `BATCH_BYTES` bytes.

    An image that is larger than that is a batch of its own.
    """
    batch: list[Read] = []
    held = 0
    for picture in pictures:
        more = size(picture)
        if batch and (len(batch) == BATCH or held + more > BATCH_BYTES):
            yield batch
            batch, held = [], 0
        batch.append(picture)
        held += more
    if batch:
        yield batch


def _bytes(picture: Pixels) -> int:
    return picture.nbytes


def _sum_to_one(rows: Floats) -> Floats:
    """Scale rows, (n, classes), to a sum of 1; a row that was rounded to zeros becomes uniform."""
    totals = rows.sum(axis=1, keepdims=True)
    empty = totals == 0
    return np.where(empty, 1 / rows.shape[1], rows / np.where(empty, 1, totals)).astype(rows.dtype)


def open_model(path: Path, form: str | None = None, verify: bool = True) -> OpenModel:
    """Open a bundle's folder, one of its files, or a single `.keras` file.

    `form` selects the format in a folder, by default the first that is not a program. With
    `verify`, a file that changed since the export is refused. Raises RecordError.
    """
    if path.is_dir() and not (path / "saved_model.pb").is_file():
        return _from_bundle(path, form, verify)
    if not path.exists():
        raise RecordError(f"{path}: no such model file or bundle")
    if (path.parent / MANIFEST).is_file():
        manifest = read_manifest(path.parent)
        forms = {a.format for a in manifest.artifacts if a.path == path.name}
        if forms:
            return _from_bundle(path.parent, forms.pop(), verify)
    return _from_lone_file(path)


def _from_bundle(bundle: Path, form: str | None, verify: bool) -> OpenModel:
    manifest = read_manifest(bundle)
    artifact = manifest.artifact(form)
    file = locate(bundle, artifact, verify)
    if artifact.row.program:
        log.warning(
            "%s: a %s is a program that may read and write files; open it only if you trust its "
            "maker",
            *(file, artifact.format),
        )
    run = runtimes.load(file, artifact.row)
    return OpenModel(
        manifest.labels, artifact.row, manifest.image_px, run, manifest.classes, manifest.bits
    )


def _from_lone_file(path: Path) -> OpenModel:
    """Open a `.keras` file without its bundle; the labels are inside the file."""
    form = EXPORT_FORMATS["keras"]
    require_self_contained(path, form)
    try:
        with zipfile.ZipFile(path) as archive:
            labels = _labels(parse_json(archive.read(LABELS)))
            known = parse_json(archive.read(BITS)) if BITS in archive.namelist() else None
            bits = known and {int(stated): int(depth) for stated, depth in known.items()}
    except Exception as error:  # from the archive, from JSON, or from JSON of another shape
        raise RecordError(f"{path}: not a model exported by tlsearch ({error})") from error
    return OpenModel(labels, form, 0, runtimes.load(path, form), bits=bits)


def _labels(found: Any) -> tuple[str, ...]:
    """Return the labels from a file's JSON; raises ValueError if they are not distinct strings."""
    names = found if isinstance(found, list) else []
    if not names or len({*map(str, names)}) < len(names):
        raise ValueError(f"expected distinct labels in {LABELS}")
    if not all(isinstance(name, str) for name in names):
        raise ValueError(f"expected names in {LABELS}")
    return tuple(names)

"""A bundle, or a lone exported `.keras` file, opened: pictures in, probabilities out."""

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
from tlsearch.bundle.manifest import LABELS, MANIFEST, locate, read_manifest
from tlsearch.bundle.runtimes import Predict
from tlsearch.bundle.self_contained import require_self_contained
from tlsearch.config.catalog import EXPORT_FORMATS, ExportFormat
from tlsearch.data.decode import pixels_of, resize
from tlsearch.data.depth import Bits

log = logging.getLogger(__name__)

BITS = "bits.json"  # in a `.keras` file, beside its labels
BATCH = 32  # pictures
BATCH_BYTES = 2**25  # of their pixels as uint8; a network takes four times as much
AHEAD = 4  # pictures that are read, at most, before they are asked for

Read = TypeVar("Read")


@dataclass(frozen=True)
class OpenModel:
    """A loaded model with the labels of its outputs and the way pictures reach it.

    `renames` maps names, or patterns, of classes as they were found to labels. `bits` says at which
    depth it sees pictures of 16 bits: as in training.
    """

    labels: tuple[str, ...]
    form: ExportFormat
    image_px: int
    run: Predict
    renames: Mapping[str, str] = field(default_factory=dict)
    bits: Bits | None = None

    def read(self, picture: Path | BinaryIO) -> Pixels:
        """A picture's pixels, (height, width, 3) uint8, as the model learned to see them: a square
        where its file takes squares. Raises PictureError.
        """
        with self.reading(picture) as pixels:
            return pixels if self.form.any_size else resize(pixels, self.image_px)

    def reading(self, picture: Path | BinaryIO) -> AbstractContextManager[Pixels]:
        """The same for a block that goes on to use the picture's memory, which is limited."""
        return pixels_of(picture, self.bits)

    def of_files(
        self, files: Iterable[Path], done: Callable[[int], object] = lambda pictures: None
    ) -> Floats:
        """Probabilities, (n, classes), of picture files in their order, in batches of bounded size;
        `done` is told of how many pictures a batch was.

        Raises PictureError for the first that cannot be read.
        """
        found = []
        for batch in batched(read_ahead(self.read, files), _bytes):
            found.append(self(batch))
            done(len(batch))
        return np.concatenate(found) if found else np.empty((0, len(self.labels)), np.float32)

    def __call__(self, pictures: Sequence[Pixels]) -> Floats:
        """Probabilities, (n, classes), of pictures (height, width, 3) uint8 of any sizes.

        A file that takes any size gets each picture as it is; one that takes squares gets them
        resized as in training. Squares of the right size share a batch. Each row sums to 1, also
        where the file rounds its probabilities.
        """
        if not pictures:
            return np.empty((0, len(self.labels)), np.float32)
        if self.form.any_size and any(p.shape != pictures[0].shape for p in pictures):
            rows = np.concatenate([self.run(picture[None]) for picture in pictures])
        else:
            if not self.form.any_size:
                pictures = [resize(picture, self.image_px) for picture in pictures]
            rows = self.run(np.stack(pictures))
        return _sum_to_one(self._checked(rows, len(pictures)))

    def _checked(self, rows: Floats, pictures: int) -> Floats:
        """Its output, if that is a row of probabilities for each picture; else RecordError."""
        classes = len(self.labels) or rows.shape[-1]  # where only the file is checked: no labels
        if rows.shape != (pictures, classes):
            raise RecordError(
                f"the {self.form.name} file gives an output of shape {rows.shape} for {pictures} "
                f"pictures, expected probabilities of {classes} classes for each"
            )
        return rows


def read_ahead(read: Callable[[Path], Read], files: Iterable[Path]) -> Iterator[Read]:
    """What `read` gives for each file, in order, by threads that are a few files ahead."""
    return in_order(read, files, min(AHEAD, granted_cores()), ahead=1)


def batched(pictures: Iterable[Read], size: Callable[[Read], int]) -> Iterator[list[Read]]:
    """Batches of at most `BATCH` pictures whose sizes, in bytes, stay within `BATCH_BYTES`; a
    larger picture is a batch by itself.
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
    """Rows, (n, classes), scaled to a sum of 1; one that was rounded to zeros prefers no class."""
    totals = rows.sum(axis=1, keepdims=True)
    empty = totals == 0
    return np.where(empty, 1 / rows.shape[1], rows / np.where(empty, 1, totals)).astype(rows.dtype)


def open_model(path: Path, form: str | None = None, verify: bool = True) -> OpenModel:
    """Open a bundle's folder (the artifact of `form`; by default the first that is no program), or
    a file of one.

    With `verify` a file that is not the one exported is refused. Raises RecordError, with what is
    wrong.
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
            "%s: a %s is a program that may read and write files; open it only where you trust its "
            "maker",
            *(file, artifact.format),
        )
    run = runtimes.load(file, artifact.row)
    return OpenModel(
        manifest.labels, artifact.row, manifest.image_px, run, manifest.classes, manifest.bits
    )


def _from_lone_file(path: Path) -> OpenModel:
    """A `.keras` file away from its bundle still knows its labels."""
    form = EXPORT_FORMATS["keras"]
    require_self_contained(path, form)
    try:
        with zipfile.ZipFile(path) as archive:
            labels = _labels(parse_json(archive.read(LABELS)))
            known = parse_json(archive.read(BITS)) if BITS in archive.namelist() else None
            bits = known and {int(stated): int(depth) for stated, depth in known.items()}
    except Exception as error:  # of the archive, of JSON, or of JSON of another shape
        raise RecordError(f"{path}: not a model exported by tlsearch ({error})") from error
    return OpenModel(labels, form, 0, runtimes.load(path, form), bits=bits)


def _labels(found: Any) -> tuple[str, ...]:
    """Labels as a file holds them; ValueError where they are none."""
    names = found if isinstance(found, list) else []
    if not names or len({*map(str, names)}) < len(names):
        raise ValueError(f"expected distinct labels in {LABELS}")
    if not all(isinstance(name, str) for name in names):
        raise ValueError(f"expected names in {LABELS}")
    return tuple(names)

"""The files of a study that its page shows: curves, counts, pictures, scores, export sizes."""

import base64
import logging
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from tlsearch.base.links import read_plain
from tlsearch.results.record.curve import read_curve
from tlsearch.results.record.directory import StudyDirectory
from tlsearch.results.record.file_names import CURVE, DATA, MANIFEST, TEST, WINNER

log = logging.getLogger(__name__)

# The picture formats that a page may embed -> their media types in a data URI.
PICTURE_TYPES = {
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
    ".gif": "image/gif",
}
PICTURE_BYTES = 1 << 20


class _Read(BaseModel):
    """A part of a JSON file that another module writes; keys that the page does not show are
    ignored.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")


class DataAudit(_Read):
    """artifacts/data.json: pictures per split and class, and some of them as samples.

    Also findings about the data as sentences, and the unreadable pictures that were left out.
    """

    classes: tuple[str, ...]
    images: dict[str, dict[str, int]]
    duplicates: str = ""
    notes: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()
    samples: dict[str, tuple[str, ...]] = {}


class ClassRow(_Read):
    """The winner's scores for one class; `images` counts the pictures that show it."""

    label: str
    precision: float
    recall: float
    f1: float
    images: int


class WinnerScores(_Read):
    """The winner's scores on a split.

    `confusion[i][j]` counts pictures of class i that were classified as class j.
    """

    images: int
    scores: dict[str, float]
    classes: tuple[ClassRow, ...]
    confusion: tuple[tuple[int, ...], ...]


class ShownPrediction(_Read):
    """A picture, its true class `shown`, and the class `called` that the winner predicted."""

    picture: str
    shown: str
    called: str
    probability: float


class WinnerOnSplit(_Read):
    """artifacts/winner.json or test.json: the winner's scores on a split, and its predictions for
    some of the pictures.
    """

    trial: int
    split: str = "validation"
    evaluation: WinnerScores
    mistakes: tuple[ShownPrediction, ...] = ()
    samples: tuple[ShownPrediction, ...] = ()


class ExportedFile(_Read):
    """A model file in best/; `latency_ms` maps batch size and threads to the median latency."""

    format: str
    bytes: int
    accuracy: float | None = None
    agreement: float | None = None
    latency_ms: dict[str, float] = {}


class Exports(_Read):
    """The part of best/manifest.json that the page shows."""

    artifacts: tuple[ExportedFile, ...] = ()
    left_out: dict[str, str] = {}


Part = TypeVar("Part", bound=BaseModel)


class Artifacts:
    """The small files of one study directory.

    Absent and damaged JSON files read as None, an absent curve as an empty list. JSON files and
    curves that are symbolic links or special files raise RecordError.
    """

    def __init__(self, home: StudyDirectory) -> None:
        self.home, self.root = home, home.artifacts

    def data(self) -> DataAudit | None:
        """Return the counts and sample pictures of the data."""
        return _read(self.root / DATA, DataAudit)

    def winner(self) -> WinnerOnSplit | None:
        """Return the winner's scores on the validation split, and pictures with its predictions."""
        return _read(self.root / WINNER, WinnerOnSplit)

    def test(self) -> WinnerOnSplit | None:
        """Return the winner's scores on the test split."""
        return _read(self.root / TEST, WinnerOnSplit)

    def exports(self) -> Exports | None:
        """Return the exported model's files."""
        return _read(self.home.best / MANIFEST, Exports)

    def curves(self, number: int) -> list[dict[str, Any]]:
        """Return a trial's learning curve, one row per epoch; damaged lines are skipped."""
        return read_curve(self.home.trial(number) / CURVE)

    def picture(self, relative: str) -> str | None:
        """Return a picture under artifacts/ as a data URI.

        Returns None, with a warning, for anything else and for more than `PICTURE_BYTES`.
        """
        path = (self.root / relative).resolve()
        if not path.is_relative_to(self.root.resolve()):
            log.warning("%s: refused: it is outside artifacts/", relative)
            return None
        kind = PICTURE_TYPES.get(path.suffix.lower())
        if kind is None or not path.is_file() or path.stat().st_size > PICTURE_BYTES:
            log.warning("%s: left out, not a picture of at most %d bytes", relative, PICTURE_BYTES)
            return None
        return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"


def _read(path: Path, model: type[Part]) -> Part | None:
    try:
        return model.model_validate_json(read_plain(path))
    except FileNotFoundError:
        return None
    except (ValidationError, OSError) as error:
        log.warning("%s: left out of the page, damaged (%s)", path, str(error).splitlines()[0])
        return None

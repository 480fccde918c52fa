"""The predicted class of each validation image at a trial's best epoch, saved with its weights."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tlsearch.base.array_types import Classes
from tlsearch.base.errors import RecordError
from tlsearch.base.files import DAMAGED_ARCHIVE, atomic_file
from tlsearch.results.record.kept_files import require_recorded


@dataclass(frozen=True, eq=False)
class Predictions:
    """The `true` and the `predicted` class of each validation image after `epoch`.

    Both have shape (images,) and hold indices into the data's list of classes.
    """

    epoch: int
    true: Classes
    predicted: Classes

    def save(self, path: Path) -> None:
        """Write the file atomically, in the narrowest integer type that holds the classes."""
        with atomic_file(path) as file:
            np.savez(
                file,
                epoch=np.array(self.epoch),
                shown=_narrow(self.true),
                called=_narrow(self.predicted),
            )


def load_predictions(path: Path, trial: int = 0, recorded: str | None = None) -> Predictions | None:
    """Read a trial's predictions; None if the file does not exist.

    Raises RecordError if the file is a link or damaged, or if its SHA-256 is not `recorded`.
    """
    try:
        require_recorded(path, trial, recorded)
        with np.load(path, allow_pickle=False) as file:
            found = Predictions(int(file["epoch"]), file["shown"], file["called"])
    except FileNotFoundError:
        return None
    except DAMAGED_ARCHIVE as error:
        raise RecordError(f"{path}: not predictions, or damaged ({error})") from error
    if not (_is_classes(found.true) and _is_classes(found.predicted)):
        raise RecordError(f"{path}: not predictions (expected class indices)")
    if len(found.true) != len(found.predicted):
        raise RecordError(
            f"{path}: damaged ({len(found.true)} images, {len(found.predicted)} predictions)"
        )
    return found


def _narrow(classes: Classes) -> Classes:
    return classes.astype(np.min_scalar_type(int(classes.max(initial=0))))


def _is_classes(found: Classes) -> bool:
    return found.ndim == 1 and len(found) > 0 and found.dtype.kind == "u"

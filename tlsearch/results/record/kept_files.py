"""Whether a kept file of arrays is the one that the journal recorded, by its SHA-256."""

import json
from pathlib import Path

import numpy as np

from tlsearch.base.digests import sha256
from tlsearch.base.errors import RecordError
from tlsearch.base.files import DAMAGED_ARCHIVE
from tlsearch.base.links import refuse_link
from tlsearch.config.catalog import DIGEST_DIGITS


def require_recorded(path: Path, trial: int, recorded: str | None) -> None:
    """Raise RecordError unless a trial's file, which is there, is the one that was recorded.

    Nothing is known where `recorded` is None, as in a study of an earlier version.
    """
    refuse_link(path)
    if recorded is None or (found := sha256(path)) == recorded:
        return
    raise RecordError(
        f"{path}: not the file that the journal recorded for trial {trial}: recorded SHA-256 "
        f"{recorded[:DIGEST_DIGITS]}, found {found[:DIGEST_DIGITS]}; put the original one back"
    )


def epoch_of(path: Path) -> int | None:
    """The epoch of a checkpoint; None where that cannot be read."""
    refuse_link(path)
    try:
        with np.load(path, allow_pickle=False) as file:
            return int(json.loads(str(file["about"]))["epoch"])
    except DAMAGED_ARCHIVE:
        return None

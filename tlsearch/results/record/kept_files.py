"""Checks that a trial's array file is the one that the journal recorded, by its SHA-256."""

import json
from pathlib import Path

import numpy as np

from tlsearch.base.digests import sha256
from tlsearch.base.errors import RecordError
from tlsearch.base.files import DAMAGED_ARCHIVE
from tlsearch.base.links import refuse_link
from tlsearch.config.catalog import DIGEST_DIGITS


def require_recorded(path: Path, trial: int, recorded: str | None) -> None:
    """Raise RecordError if a trial's file is a link or its SHA-256 is not `recorded`.

    The file must exist. `recorded` is None in studies of earlier versions; the SHA-256 is then not
    checked.
    """
    refuse_link(path)
    if recorded is None or (found := sha256(path)) == recorded:
        return
    raise RecordError(
        f"{path}: not the file that the journal recorded for trial {trial}: recorded SHA-256 "
        f"{recorded[:DIGEST_DIGITS]}, found {found[:DIGEST_DIGITS]}; put the original one back"
    )


def epoch_of(path: Path) -> int | None:
    """Return the epoch of a checkpoint; None if it cannot be read."""
    refuse_link(path)
    try:
        with np.load(path, allow_pickle=False) as file:
            return int(json.loads(str(file["about"]))["epoch"])
    except DAMAGED_ARCHIVE:
        return None

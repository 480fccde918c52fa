"""A digest of the journal, written beside it when a driver ends, which reveals later changes.

A journal only grows, so the digest covers its first bytes. It stays valid while a later driver
appends lines; that driver writes a new digest when it ends.
"""

import hashlib
from pathlib import Path

from pydantic import BaseModel, ConfigDict, NonNegativeInt, ValidationError

from tlsearch.base.errors import RecordError
from tlsearch.base.files import write_json
from tlsearch.results.record.file_names import SEAL


class Seal(BaseModel):
    """The SHA-256 of the first `bytes` bytes of a journal."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    bytes: NonNegativeInt
    sha256: str


def seal(journal: Path) -> None:
    """Write the digest of a journal; only its driver calls this, after the last line."""
    content = journal.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    write_json(journal.with_name(SEAL), {"bytes": len(content), "sha256": digest})


def at_its_end(journal: Path) -> bool:
    """Whether a journal is sealed and nothing was appended since, judged by its size."""
    try:
        known = Seal.model_validate_json(journal.with_name(SEAL).read_bytes())
    except (OSError, ValidationError):
        return False
    return known.bytes == journal.stat().st_size


def require_sealed(journal: Path) -> None:
    """Raise RecordError if a journal's sealed bytes have changed or its digest file is damaged.

    A study without a digest is accepted: an earlier version wrote it, or its driver was killed.
    """
    path = journal.with_name(SEAL)
    if not path.is_file():
        return
    try:
        known = Seal.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise RecordError(
            f"{path}: damaged ({error.errors()[0]['msg']}); delete it to accept {journal.name} as "
            "it is"
        ) from error
    with journal.open("rb") as file:
        content = file.read(known.bytes)
    if hashlib.sha256(content).hexdigest() != known.sha256:
        raise RecordError(
            f"{journal}: changed since the study ended (its first {known.bytes} bytes are not what "
            f"{SEAL} says), so trials may be lost and values may be wrong; restore it from a "
            f"backup, or delete {SEAL} to accept the journal as it is"
        )

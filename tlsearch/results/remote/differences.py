"""The differences between a study's local copy and its bucket, which decide what to transfer."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from tlsearch.results.record.file_names import (
    ABOUT,
    ARTIFACTS,
    BUNDLE,
    CURVE,
    JOURNAL,
    MANIFEST,
    PREDICTIONS,
    RAY,
    RESUME,
    SEAL,
)

Stamp = tuple[int, int]  # size in bytes, modification time in nanoseconds
Names = Callable[[str], bool]

NEVER: Stamp = (-1, -1)  # equals no file's stamp


@dataclass(frozen=True)
class Known:
    """The stamps of a file on both sides at its last transfer."""

    local: Stamp
    there: Stamp


def is_mirrored(name: str) -> bool:
    """Whether a file is mirrored to the bucket.

    Locks, partial files, Ray's files and names that lead out of the folder are not.
    """
    parts = name.split("/")
    return parts[0] != RAY and not any(not part or part[0] == "." for part in parts)


def of_table(name: str) -> bool:
    """Whether the leaderboard needs this file."""
    return name in (ABOUT, JOURNAL, SEAL, f"{BUNDLE}/{MANIFEST}") or name.endswith(
        f"/{PREDICTIONS}"
    )


def of_page(name: str) -> bool:
    """Whether the HTML page needs this file."""
    return of_table(name) or name.startswith(f"{ARTIFACTS}/") or name.endswith(f"/{CURVE}")


def to_send(local: Mapping[str, Stamp], known: Mapping[str, Known]) -> list[str]:
    """Return the files that changed locally, except the journal and its digest.

    The journal is sent after all files that it mentions, and its digest after the journal. Resume
    states come first, because a resume state that is newer than the journal is useless.
    """
    changed = [n for n, stamp in local.items() if n not in known or known[n].local != stamp]
    return sorted(
        (n for n in changed if n not in (JOURNAL, SEAL)), key=lambda n: (not n.endswith(RESUME), n)
    )


def to_drop(
    before: Iterable[str], after: Iterable[str], known: Mapping[str, Known]
) -> tuple[str, ...]:
    """Return the mirrored files that no longer exist locally.

    `before` and `after` are the local files before and after the journal was read. A file in
    neither was deleted before, so the journal does not refer to it.
    """
    return tuple(sorted({*known} - {*before} - {*after}))


def to_fetch(
    there: Mapping[str, Stamp], local: Mapping[str, Stamp], known: Mapping[str, Known]
) -> list[str]:
    """Return the files that differ in the bucket; the journal last, to reveal an aborted fetch."""
    same = {n for n in there if n in known and known[n] == Known(local.get(n, NEVER), there[n])}
    return sorted({*there} - same, key=lambda name: (name == JOURNAL, name))


def still_known(known: Mapping[str, Known], there: Mapping[str, Stamp]) -> dict[str, Known]:
    """Return `known`, with files that changed in the bucket meanwhile marked to be sent again."""
    return {
        name: one if there.get(name) == one.there else Known(NEVER, one.there)
        for name, one in known.items()
    }


def whole_lines(journal: bytes) -> bytes:
    """Return a journal without its incomplete last line."""
    return journal[: journal.rfind(b"\n") + 1]


def which_is_ahead(here: bytes, there: bytes) -> Literal["neither", "here", "there", "apart"]:
    """Return which of two journals continues the other; `apart` if their contents diverge."""
    here, there = whole_lines(here), whole_lines(there)
    if here == there:
        return "neither"
    if here.startswith(there):
        return "here"
    return "there" if there.startswith(here) else "apart"

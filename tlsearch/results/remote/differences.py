"""What differs between a study's local copy and the one in a bucket, and so has to travel."""

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

Stamp = tuple[int, int]  # bytes, and nanoseconds of the last change
Names = Callable[[str], bool]

NEVER: Stamp = (-1, -1)  # of no file


@dataclass(frozen=True)
class Known:
    """A file as both sides had it when it last travelled."""

    local: Stamp
    there: Stamp


def travels(name: str) -> bool:
    """Whether a file belongs into the bucket: no lock, no partial file, nothing of Ray; and no name
    that leads out of a folder.
    """
    parts = name.split("/")
    return parts[0] != RAY and not any(not part or part[0] == "." for part in parts)


def of_table(name: str) -> bool:
    """Whether the ranked table is made from it."""
    return name in (ABOUT, JOURNAL, SEAL, f"{BUNDLE}/{MANIFEST}") or name.endswith(
        f"/{PREDICTIONS}"
    )


def of_page(name: str) -> bool:
    """Whether the HTML page is made from it."""
    return of_table(name) or name.startswith(f"{ARTIFACTS}/") or name.endswith(f"/{CURVE}")


def to_send(local: Mapping[str, Stamp], known: Mapping[str, Known]) -> list[str]:
    """What changed here, but for the journal, which follows when all that it tells of is there, and
    its digest, which follows it.

    Resume states go first: one that is younger than the journal is of no use.
    """
    changed = [n for n, stamp in local.items() if n not in known or known[n].local != stamp]
    return sorted(
        (n for n in changed if n not in (JOURNAL, SEAL)), key=lambda n: (not n.endswith(RESUME), n)
    )


def to_drop(
    before: Iterable[str], after: Iterable[str], known: Mapping[str, Known]
) -> tuple[str, ...]:
    """What was sent and was gone here `before` the journal was read, so that the journal knows."""
    return tuple(sorted({*known} - {*before} - {*after}))


def to_fetch(
    there: Mapping[str, Stamp], local: Mapping[str, Stamp], known: Mapping[str, Known]
) -> list[str]:
    """What is other there than here; the journal last, so that a broken fetch shows."""
    same = {n for n in there if n in known and known[n] == Known(local.get(n, NEVER), there[n])}
    return sorted({*there} - same, key=lambda name: (name == JOURNAL, name))


def still_known(known: Mapping[str, Known], there: Mapping[str, Stamp]) -> dict[str, Known]:
    """What is known, but for what was changed there meanwhile: that is to be sent again."""
    return {
        name: one if there.get(name) == one.there else Known(NEVER, one.there)
        for name, one in known.items()
    }


def whole_lines(journal: bytes) -> bytes:
    """A journal without the line that is being written."""
    return journal[: journal.rfind(b"\n") + 1]


def ahead(here: bytes, there: bytes) -> Literal["neither", "here", "there", "apart"]:
    """Which of two journals goes on where the other ends; `apart` where they tell other things."""
    here, there = whole_lines(here), whole_lines(there)
    if here == there:
        return "neither"
    if here.startswith(there):
        return "here"
    return "there" if there.startswith(here) else "apart"

"""Remarks on pictures that were left out or moved to another split."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from tlsearch.data.listing import Listing, Split
from tlsearch.data.mistakes import mistakes_error
from tlsearch.data.splits import LEAST, Indices


def require_readable(
    listing: Listing, readable: NDArray[np.bool_], unreadable: Sequence[str]
) -> None:
    """Raise DataError if too few pictures are readable: none of a class, or less than half."""
    left = {e.label for e, can in zip(listing.examples, readable, strict=True) if can}
    gone = [name for label, name in enumerate(listing.classes) if label not in left]
    if not gone and 2 * len(unreadable) <= len(readable):
        return
    count = f"{len(unreadable)} of {len(readable)} pictures cannot be read"
    raise mistakes_error([f"{listing.source}: {count}, {_too_many(gone)}", *unreadable])


def _too_many(gone: Sequence[str]) -> str:
    """The end of the message: what cannot be left out, the rule, and what to do."""
    if not gone:
        return (
            "which is more than half; data.unreadable: skip leaves out at most half: repair or "
            "remove these files"
        )
    return (
        f"which leaves no picture of {', '.join(gone)}; data.unreadable: skip needs a readable "
        "picture of every class: repair or replace these files"
    )


def count_moved(listing: Listing, moved: Mapping[Split, Indices]) -> dict[Split, dict[str, int]]:
    """Split -> class -> number of the moved pictures."""
    found: dict[Split, dict[str, int]] = {}
    for split, rows in moved.items():
        names = Counter(listing.classes[listing.examples[row].label] for row in rows.tolist())
        if names:
            found[split] = dict(sorted(names.items()))
    return found


def filled_note(moved: Mapping[Split, Mapping[str, int]]) -> str | None:
    """A sentence on the pictures that were moved to fill small classes; None if there are none."""
    parts = [
        f"{sum(of.values())} to {split} ({_join_first([f'{name} {n}' for name, n in of.items()])})"
        for split, of in moved.items()
    ]
    if not parts:
        return None
    return f"small classes: pictures moved so that a split holds {LEAST}: {', '.join(parts)}"


def left_out_note(unreadable: Sequence[str], listing: Listing) -> str | None:
    """A sentence on the pictures that are left out; None if there are none."""
    if not unreadable:
        return None
    count = f"{len(unreadable)} of {len(listing.examples)} pictures"
    return f"{count} cannot be read and are left out: {_join_first(unreadable, '; ', 3)}"


def _join_first(items: Sequence[str], between: str = ", ", most: int = 10) -> str:
    rest = len(items) - most
    return between.join(items[:most]) + (f" and {rest} more" if rest > 0 else "")

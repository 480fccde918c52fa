"""The mistakes of a data set in one error message."""

from collections.abc import Sequence

from tlsearch.base.errors import DataError

MOST_SHOWN = 20


def mistakes_error(mistakes: Sequence[object]) -> DataError:
    """One error with a line per mistake: the first twenty, and the number of further ones."""
    shown = [str(mistake) for mistake in mistakes[:MOST_SHOWN]]
    rest = len(mistakes) - len(shown)
    return DataError("\n".join(shown + ([f"... and {rest} more"] if rest else [])))

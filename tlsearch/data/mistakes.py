"""What is wrong with a data set, all of it in one message."""

from collections.abc import Sequence

from tlsearch.base.errors import DataError

MOST_SHOWN = 20


def all_wrong(mistakes: Sequence[object]) -> DataError:
    """One error that names every mistake, a line each; of very many the first twenty."""
    shown = [str(mistake) for mistake in mistakes[:MOST_SHOWN]]
    rest = len(mistakes) - len(shown)
    return DataError("\n".join(shown + ([f"... and {rest} more"] if rest else [])))

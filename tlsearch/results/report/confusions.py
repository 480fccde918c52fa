"""Which classes the winner takes for which, as the page tells it."""

from tlsearch.results.report.page_files import WinnerOnSplit

TABLE_CLASSES = 25  # a larger table is read as a list of its most frequent confusions
LISTED = 30


def table(winner: WinnerOnSplit) -> list[tuple[str, list[tuple[int, int]]]] | None:
    """Class -> (pictures, share in hundredths) a cell; None where the table would be too large."""
    classes, counts = winner.evaluation.classes, winner.evaluation.confusion
    if len(classes) > TABLE_CLASSES:
        return None
    return [
        (row.label, [(n, round(100 * n / max(1, sum(line)))) for n in line])
        for row, line in zip(classes, counts, strict=False)
    ]


def most_frequent(winner: WinnerOnSplit) -> list[tuple[str, str, int]]:
    """Shown class, called class, pictures: the most frequent mistakes first."""
    labels = [row.label for row in winner.evaluation.classes]
    pairs = [
        (shown, called, count)
        for shown, line in zip(labels, winner.evaluation.confusion, strict=False)
        for called, count in zip(labels, line, strict=False)
        if count and shown != called
    ]
    return sorted(pairs, key=lambda pair: -pair[2])[:LISTED]


def worst(winner: WinnerOnSplit | None) -> str | None:
    """The most frequent mistake in a sentence; None where none was made or nothing is known."""
    found = [] if winner is None else most_frequent(winner)
    if winner is None or not found:
        return None
    shown, called, count = found[0]
    images = next(row.images for row in winner.evaluation.classes if row.label == shown)
    return (
        f'the most frequent mistake: {count} of {images} {winner.split} pictures of "{shown}" '
        f'are called "{called}"'
    )

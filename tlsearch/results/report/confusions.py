"""The winner's confusions between classes, as the page shows them."""

from tlsearch.results.report.page_files import WinnerOnSplit

TABLE_CLASSES = 25  # with more classes, the page lists the most frequent confusions instead
LISTED = 30


def confusion_rows(winner: WinnerOnSplit) -> list[tuple[str, list[tuple[int, int]]]] | None:
    """Return the confusion table: for each class its row of (pictures, percent of the row).

    Returns None if there are more than `TABLE_CLASSES` classes.
    """
    classes, counts = winner.evaluation.classes, winner.evaluation.confusion
    if len(classes) > TABLE_CLASSES:
        return None
    return [
        (row.label, [(n, round(100 * n / max(1, sum(line)))) for n in line])
        for row, line in zip(classes, counts, strict=False)
    ]


def most_frequent(winner: WinnerOnSplit) -> list[tuple[str, str, int]]:
    """Return at most `LISTED` (shown class, predicted class, pictures), the most frequent first."""
    labels = [row.label for row in winner.evaluation.classes]
    pairs = [
        (true, predicted, count)
        for true, line in zip(labels, winner.evaluation.confusion, strict=False)
        for predicted, count in zip(labels, line, strict=False)
        if count and true != predicted
    ]
    return sorted(pairs, key=lambda pair: -pair[2])[:LISTED]


def worst_mistake(winner: WinnerOnSplit | None) -> str | None:
    """Describe the most frequent mistake in a sentence; None if there is none or none is known."""
    found = [] if winner is None else most_frequent(winner)
    if winner is None or not found:
        return None
    true, predicted, count = found[0]
    images = next(row.images for row in winner.evaluation.classes if row.label == true)
    return (
        f'the most frequent mistake: {count} of {images} {winner.split} pictures of "{true}" '
        f'are predicted as "{predicted}"'
    )

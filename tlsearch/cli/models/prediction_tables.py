"""Printing predictions to stdout as a table, CSV or JSON, and unreadable images to stderr."""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Literal

from tlsearch.cli.output import print_answer, print_line

if TYPE_CHECKING:
    from tlsearch.bundle.predict import Prediction


def print_predictions(
    predictions: Iterable["Prediction"], form: Literal["table", "csv", "json"], total: int
) -> int:
    """Print all predictions and return how many images could not be read."""
    good, failed = [], 0
    for prediction in _with_progress(predictions, total):
        if prediction.error is not None:
            failed += 1
            print_line(f"error: {prediction.error}", err=True)
        else:
            good.append(prediction)
    if form == "json":
        print_answer(json.dumps([_plain(prediction) for prediction in good], indent=2) + "\n")
    elif form == "csv":
        _print_csv(good)
    else:
        _print_table(good)
    return failed


def _with_progress(predictions: Iterable["Prediction"], total: int) -> Iterator["Prediction"]:
    """Yield the predictions with a progress bar on stderr, if stderr is a terminal."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    yield from track(
        predictions,
        "predicting",
        total=total,
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def _plain(prediction: "Prediction") -> dict[str, object]:
    from tlsearch.base.shown_text import to_storable

    classes = [{"label": label, "probability": p} for label, p in prediction.ranking]
    return {"path": to_storable(prediction.path), "classes": classes}


def _rows(predictions: Iterable["Prediction"]) -> list[list[str]]:
    from tlsearch.base.shown_text import to_storable

    return [
        [to_storable(prediction.path), label, f"{probability:.4f}"]
        for prediction in predictions
        for label, probability in prediction.ranking
    ]


def _print_csv(predictions: Iterable["Prediction"]) -> None:
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow(["path", "label", "probability"])
    writer.writerows(_rows(predictions))
    print_answer(written.getvalue())


def _print_table(predictions: Iterable["Prediction"]) -> None:
    from tlsearch.cli.tables import print_table

    print_table(["path", "label", "probability"], _rows(predictions))

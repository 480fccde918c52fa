"""Predictions on stdout: a table, CSV, or JSON; unreadable images on stderr."""

import csv
import json
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from tlsearch.training.predict import Prediction


def print_predictions(
    predictions: Iterable["Prediction"], form: Literal["table", "csv", "json"]
) -> int:
    """Print each prediction; gives how many images could not be read."""
    good, failed = [], 0
    for prediction in predictions:
        if prediction.error is not None:
            failed += 1
            print(f"error: {prediction.error}", file=sys.stderr)
        else:
            good.append(prediction)
    if form == "json":
        print(json.dumps([_plain(prediction) for prediction in good], indent=2))
    elif form == "csv":
        _print_csv(good)
    else:
        _print_table(good)
    return failed


def _plain(prediction: "Prediction") -> dict[str, object]:
    classes = [{"label": label, "probability": p} for label, p in prediction.ranking]
    return {"path": str(prediction.path), "classes": classes}


def _rows(predictions: Iterable["Prediction"]) -> list[list[str]]:
    return [
        [str(prediction.path), label, f"{probability:.4f}"]
        for prediction in predictions
        for label, probability in prediction.ranking
    ]


def _print_csv(predictions: Iterable["Prediction"]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["path", "label", "probability"])
    writer.writerows(_rows(predictions))


def _print_table(predictions: Iterable["Prediction"]) -> None:
    from tlsearch.cli.tables import print_table

    print_table(["path", "label", "probability"], _rows(predictions))

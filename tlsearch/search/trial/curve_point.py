"""One line of a trial's learning curve, as `curves.jsonl` holds it."""

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tlsearch.training.trial import EpochReport


def curve_point(report: "EpochReport", every_batch: bool) -> dict[str, object]:
    """Return a line of the learning curve; numbers that are not finite are null."""
    numbers = {
        "value": report.value,
        "train_loss": report.train_loss,
        "train_value": report.train_value,
        "train_accuracy": report.train_accuracy,
        "validation_loss": report.validation_loss,
        "validation_accuracy": report.validation_accuracy,
        "seconds": round(report.seconds, 4),
    }
    finite = {name: _finite(x) for name, x in numbers.items()}
    point: dict[str, Any] = {"epoch": report.epoch, **finite}
    if every_batch:
        point["batch_losses"] = [_finite(round(x, 5)) for x in report.batches.losses]
        point["batch_accuracies"] = [_finite(round(x, 5)) for x in report.batches.accuracies]
    return point


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None

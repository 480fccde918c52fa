"""The learning curve of a trial: one JSON object per epoch; damaged lines are skipped."""

import logging
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, FiniteFloat, NonNegativeInt, ValidationError

from tlsearch.base.links import read_plain

log = logging.getLogger(__name__)

Number = FiniteFloat | None  # NaN and infinity are stored as null


class _Point(BaseModel):
    """One epoch: its seconds, its metric, and the losses and accuracies that were measured."""

    model_config = ConfigDict(strict=True, extra="allow")

    epoch: NonNegativeInt
    value: Number
    train_loss: Number = None
    train_value: Number = None
    train_accuracy: Number = None
    validation_loss: Number = None
    validation_accuracy: Number = None
    seconds: FiniteFloat
    batch_losses: list[Number] = []
    batch_accuracies: list[Number] = []


def read_curve(path: Path) -> list[dict[str, Any]]:
    """Return the points of a curve; an empty list if there is no file.

    A damaged line is left out with a warning. A last line without a newline is ignored silently,
    because it is still being written.
    """
    lines = read_plain(path).split(b"\n")[:-1] if path.exists() else []
    points = []
    for number, line in enumerate(lines, start=1):
        try:
            points.append(_Point.model_validate_json(line).model_dump(exclude_unset=True))
        except ValidationError as error:
            why = error.errors(include_url=False)[0]["msg"]
            log.warning("%s:%d: left out, damaged (%s)", path, number, why)
    return points

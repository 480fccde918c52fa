"""The learning curve of a trial: a JSON object per epoch, read without its damaged lines."""

import logging
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, FiniteFloat, NonNegativeInt, ValidationError

from tlsearch.base.links import read_plain

log = logging.getLogger(__name__)

Number = FiniteFloat | None  # what is no number is null


class _Point(BaseModel):
    """One epoch: its seconds, the metric, and losses and accuracies where they were measured."""

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
    """The points of a curve, none where there is no file; a damaged line is warned of and left out,
    a torn one at the end is being written.
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

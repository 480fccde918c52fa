"""The learning rate from epoch to epoch, and when a trial has nothing more to hope for."""

import math
from collections.abc import Sequence

from tlsearch.config.catalog import Direction

PATIENCE = 2  # epochs without a lower validation loss before the rate falls
FACTOR = 0.2


def rate_factor(schedule: str, epoch: int, epochs: int, losses: Sequence[float]) -> float:
    """What the learning rate of an epoch, 1 ... `epochs`, is multiplied by.

    `losses` are the validation losses of the epochs from 1 to the one before; the factor is a
    function of them and of nothing else, so that a resumed trial has it too.
    """
    if schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * (epoch - 1) / epochs))
    if schedule == "reduce_on_plateau":
        return FACTOR ** _plateaus(losses)
    return 1.0


def _plateaus(losses: Sequence[float]) -> int:
    """How often the loss did not fall for `PATIENCE` epochs, counted anew after each time."""
    best, waited, found = math.inf, 0, 0
    for loss in losses:
        waited = 0 if loss < best else waited + 1
        best = min(best, loss)
        if waited == PATIENCE:
            found, waited = found + 1, 0
    return found


def gave_up(values: Sequence[float], patience: int | None, direction: Direction) -> bool:
    """Whether the last `patience` values, from epoch 1 on, brought none better than before."""
    if patience is None or len(values) <= patience:
        return False
    before, since = direction.best(values[:-patience]), direction.best(values[-patience:])
    return not direction.better(since, before)

"""The learning-rate schedule, and the early stopping of a trial."""

import math
from collections.abc import Sequence

from tlsearch.config.catalog import Direction

PATIENCE = 2  # epochs without a lower validation loss before the rate falls
FACTOR = 0.2


def rate_factor(schedule: str, epoch: int, epochs: int, losses: Sequence[float]) -> float:
    """Return the factor of the learning rate for an epoch, 1 ... `epochs`.

    `losses` are the validation losses from epoch 1 to the previous epoch. The factor depends on the
    arguments alone, so a resumed trial gets the same one.
    """
    if schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * (epoch - 1) / epochs))
    if schedule == "reduce_on_plateau":
        return FACTOR ** _plateaus(losses)
    return 1.0


def _plateaus(losses: Sequence[float]) -> int:
    """Return how often the loss did not fall for `PATIENCE` epochs; the count restarts after each
    time.
    """
    best, waited, found = math.inf, 0, 0
    for loss in losses:
        waited = 0 if loss < best else waited + 1
        best = min(best, loss)
        if waited == PATIENCE:
            found, waited = found + 1, 0
    return found


def gave_up(values: Sequence[float], patience: int | None, direction: Direction) -> bool:
    """Return whether none of the last `patience` values, from epoch 1 on, is better than the best
    before.
    """
    if patience is None or len(values) <= patience:
        return False
    before, since = direction.best(values[:-patience]), direction.best(values[-patience:])
    return not direction.better(since, before)

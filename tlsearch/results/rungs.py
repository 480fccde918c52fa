"""The epochs at which successive halving compares trials."""

from tlsearch.config.scheduler import Asha, Hyperband, Promotion, Scheduler


def rungs(first: int, reduction: int, epochs: int) -> tuple[int, ...]:
    """The rungs' epochs, ascending: first, first * reduction, ..., up to the last epoch."""
    found = []
    epoch = min(first, epochs)
    while epoch <= epochs:
        found.append(epoch)
        epoch *= reduction
    return tuple(found)


def rungs_of(scheduler: Scheduler, epochs: int) -> tuple[int, ...]:
    """The rungs of a scheduler, all brackets together; none where it compares at every epoch."""
    if isinstance(scheduler, Asha | Hyperband | Promotion):
        return rungs(scheduler.first_rung, scheduler.reduction, epochs)
    return ()

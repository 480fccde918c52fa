"""The epochs at which successive halving compares trials."""


def rungs(first: int, reduction: int, epochs: int) -> tuple[int, ...]:
    """The rungs' epochs, ascending: first, first * reduction, ..., up to the last epoch."""
    found = []
    epoch = min(first, epochs)
    while epoch <= epochs:
        found.append(epoch)
        epoch *= reduction
    return tuple(found)

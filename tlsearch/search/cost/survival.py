"""How many trials are expected to train each epoch, given what stops them early."""

import math

from tlsearch.config.scheduler import Asha, Hyperband, Median, Promotion, Scheduler, rungs, rungs_of

Reaching = tuple[float, ...]  # of epoch 1, 2, ...: how many trials train it


def reaching(scheduler: Scheduler, epochs: int, trials: int) -> Reaching:
    """The expected numbers, by `survivors` from rung to rung."""
    if isinstance(scheduler, Hyperband):
        return _in_brackets(scheduler, epochs, trials)
    if isinstance(scheduler, Asha | Promotion):
        ends = rungs_of(scheduler, epochs)
        return _halved(ends, epochs, trials, scheduler.reduction, isinstance(scheduler, Asha))
    if isinstance(scheduler, Median):
        return _halved(
            (scheduler.grace,), epochs, trials, 2, at_once=True, free=scheduler.min_trials
        )
    return (float(trials),) * epochs


def survivors(trials: float, reduction: int, at_once: bool, free: int = 0) -> float:
    """How many of those that reach a rung go on from it: 1/reduction of them by promotion.

    Decided `at_once`, each is compared with those before it alone. The first goes on in any case,
    the `free` first ones unasked; the i-th would with probability 1/i or 1/reduction, whichever is
    more, if trials came in no order of merit. A sampler that learns proposes better ones as it
    goes, which beat those before them: the root of 1/reduction is nearer to what the searches that
    ship with this package did (10 of 16 and 10 of 20 at their first rung, 9 and 7 of 10 at the
    second, with a reduction of 3).
    """
    if not at_once:
        return trials / reduction
    whole, steady = math.floor(trials), math.ceil(math.sqrt(reduction)) + free
    early = sum(_stays(i, reduction, free) for i in range(1, min(whole, steady) + 1))
    later = max(0, whole - steady) / math.sqrt(reduction)
    return early + later + (trials - whole) * _stays(whole + 1, reduction, free)


def _stays(arrival: int, reduction: int, free: int) -> float:
    return 1.0 if arrival <= free else max(1 / arrival, 1 / math.sqrt(reduction))


def _halved(
    ends: tuple[int, ...],
    epochs: int,
    trials: float,
    reduction: int,
    at_once: bool,
    free: int = 0,
) -> Reaching:
    found: list[float] = []
    left = float(trials)
    for epoch in range(1, epochs + 1):
        found.append(left)
        if epoch in ends:
            left = survivors(left, reduction, at_once, free)
    return tuple(found)


def _in_brackets(scheduler: Hyperband, epochs: int, trials: int) -> Reaching:
    """Each bracket begins a rung later; the more rungs it has, the more trials are in it."""
    ends = rungs(scheduler.first_rung, scheduler.reduction, epochs)
    brackets = [ends[skipped:] for skipped in range(min(scheduler.brackets, len(ends)))]
    weights = [math.exp(len(bracket)) for bracket in brackets]
    parts = [
        _halved(bracket, epochs, trials * weight / sum(weights), scheduler.reduction, True)
        for bracket, weight in zip(brackets, weights, strict=True)
    ]
    return tuple(map(sum, zip(*parts, strict=True)))

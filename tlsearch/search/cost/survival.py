"""The expected number of trials that train each epoch, given the scheduler that stops them."""

import math

from tlsearch.config.scheduler import Asha, Hyperband, Median, Promotion, Scheduler, rungs, rungs_of

Reaching = tuple[float, ...]  # how many trials train epoch 1, 2, ...


def trials_reaching(scheduler: Scheduler, epochs: int, trials: int) -> Reaching:
    """Return the expected number of trials per epoch, with `survivors` applied at each rung."""
    if isinstance(scheduler, Hyperband):
        return _in_brackets(scheduler, epochs, trials)
    if isinstance(scheduler, Asha | Promotion):
        ends = rungs_of(scheduler, epochs)
        return _halving(ends, epochs, trials, scheduler.reduction, isinstance(scheduler, Asha))
    if isinstance(scheduler, Median):
        return _halving(
            (scheduler.grace,), epochs, trials, 2, at_once=True, free=scheduler.min_trials
        )
    return (float(trials),) * epochs


def survivors(trials: float, reduction: int, at_once: bool, free: int = 0) -> float:
    """Return the expected number of trials that continue from a rung that `trials` trials reach.

    With promotion, 1/reduction of them continue. With `at_once`, each trial is compared only with
    the trials that reached the rung before it. The first `free` trials continue without a
    comparison, and the first trial always continues. If the trials came in random order of merit,
    the i-th would continue with probability max(1/i, 1/reduction). But a sampler that learns
    proposes better trials over time, and they beat the earlier ones. So the probability used is
    max(1/i, sqrt(1/reduction)), which is closer to the searches that ship with this package: with a
    reduction of 3, 10 of 16 and 10 of 20 trials continued at the first rung, 9 and 7 of 10 at the
    second.
    """
    if not at_once:
        return trials / reduction
    whole, steady = math.floor(trials), math.ceil(math.sqrt(reduction)) + free
    early = sum(_stays(i, reduction, free) for i in range(1, min(whole, steady) + 1))
    later = max(0, whole - steady) / math.sqrt(reduction)
    return early + later + (trials - whole) * _stays(whole + 1, reduction, free)


def _stays(arrival: int, reduction: int, free: int) -> float:
    return 1.0 if arrival <= free else max(1 / arrival, 1 / math.sqrt(reduction))


def _halving(
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
    """Return the expected numbers, summed over Hyperband's brackets.

    Each bracket begins one rung later than the one before. Its share of the trials is proportional
    to exp(number of rungs).
    """
    ends = rungs(scheduler.first_rung, scheduler.reduction, epochs)
    brackets = [ends[skipped:] for skipped in range(min(scheduler.brackets, len(ends)))]
    weights = [math.exp(len(bracket)) for bracket in brackets]
    parts = [
        _halving(bracket, epochs, trials * weight / sum(weights), scheduler.reduction, True)
        for bracket, weight in zip(brackets, weights, strict=True)
    ]
    return tuple(map(sum, zip(*parts, strict=True)))

"""Schedulers, which stop trials early, by name or with settings; and their rungs."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from tlsearch.config.dimension import Frozen
from tlsearch.config.spelling import one_of

FirstRung = Annotated[int, Field(ge=2)]  # epochs; at 1 the eventual winner is often cut
Reduction = Annotated[int, Field(ge=2, le=10)]


class Asha(Frozen):
    """Stop a trial at a rung unless it is among the top 1/reduction of those that reached it."""

    kind: Literal["asha"] = "asha"
    first_rung: FirstRung = 2
    reduction: Reduction = 3


class Hyperband(Frozen):
    """ASHA in several brackets: each trial is in one, each bracket begins a rung later."""

    kind: Literal["hyperband"] = "hyperband"
    first_rung: FirstRung = 2
    reduction: Reduction = 3
    brackets: Annotated[int, Field(ge=2, le=5)] = 3  # at most as many as there are rungs


class Median(Frozen):
    """Stop a trial whose best value is worse than the median of the other trials' running means."""

    kind: Literal["median"] = "median"
    grace: Annotated[int, Field(ge=1)] = 2  # epochs that every trial gets; means begin there
    min_trials: Annotated[int, Field(ge=1)] = 3  # others that reached the epoch


class Promotion(Frozen):
    """ASHA that pauses a trial at a rung until it is among the top 1/reduction there."""

    kind: Literal["promotion"] = "promotion"
    first_rung: FirstRung = 2
    reduction: Reduction = 3


class Unstopped(Frozen):
    """Let every trial train to its last epoch."""

    kind: Literal["none"] = "none"


KINDS: Mapping[str, type[Frozen]] = {
    "asha": Asha,
    "hyperband": Hyperband,
    "median": Median,
    "promotion": Promotion,
    "none": Unstopped,
}
_known = one_of(KINDS, "scheduler")


def _with_kind(raw: object) -> object:
    """A name alone means that scheduler with its defaults; settings must name their scheduler."""
    if isinstance(raw, Frozen):
        return raw
    kind = raw.get("kind") if isinstance(raw, dict) else raw
    if not isinstance(kind, str):
        names = ", ".join(KINDS)
        raise ValueError(f"found {raw!r}, expected {names}, or settings with one of them as kind")
    _known(kind)
    return raw if isinstance(raw, dict) else {"kind": kind}


Scheduler = Annotated[
    Asha | Hyperband | Median | Promotion | Unstopped,
    Field(discriminator="kind"),
    BeforeValidator(_with_kind),
]


def rungs(first: int, reduction: int, epochs: int) -> tuple[int, ...]:
    """The epochs of the rungs, ascending: first, first * reduction, ..., up to the last epoch.

    A trial shorter than the first rung is compared at its last epoch; 0 epochs have no rung.
    """
    found = []
    epoch = min(first, epochs)
    while 0 < epoch <= epochs:
        found.append(epoch)
        epoch *= reduction
    return tuple(found)


def rungs_of(scheduler: Scheduler, epochs: int) -> tuple[int, ...]:
    """The rungs of all brackets of a scheduler; () if it has no rungs."""
    if isinstance(scheduler, Asha | Hyperband | Promotion):
        return rungs(scheduler.first_rung, scheduler.reduction, epochs)
    return ()


def waiting_rungs(scheduler: Scheduler, epochs: int) -> tuple[int, ...]:
    """The rungs at which trials wait until they go on; () if a stopped trial has ended for good."""
    found = rungs_of(scheduler, epochs) if isinstance(scheduler, Promotion) else ()
    return tuple(epoch for epoch in found if epoch < epochs)

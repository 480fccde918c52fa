"""The stopping rules, as functions of plain values: which trials go on from a rung."""

import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from tlsearch.config.catalog import Direction
from tlsearch.config.scheduler import Hyperband, Median, Promotion, Unstopped, rungs, waiting_rungs
from tlsearch.config.schema import SearchConfig
from tlsearch.search.stop.decision import Decision

Place = tuple[float, int]  # at a rung: `Direction.key` of the value (less is better), trial number
Rung = tuple[int, int]  # bracket, epoch
Curve = Mapping[int, float]  # epoch -> value of one trial


class Rule(Protocol):
    """A stateless stopping rule: its decisions depend only on its arguments."""

    @property
    def direction(self) -> Direction:
        """Whether greater or smaller values are better."""

    def rung(self, trial: int, epoch: int) -> Rung | None:
        """Return the rung that a trial reaches at an epoch, None if it is not compared there."""

    def entry(self, curve: Curve, epoch: int) -> float:
        """Return the value by which a trial with this curve is compared at the rung of an epoch."""

    def decide(
        self, trial: int, curve: Curve, rung: Rung, order: Sequence[Place]
    ) -> Decision | None:
        """Decide on a trial that has reached a rung; None if there are too few trials to compare.

        `order` holds the places of all trials that reached the rung, including this one, best
        first.
        """


@dataclass(frozen=True)
class TrainAll:
    """The rule that stops no trial: every trial trains to its last epoch."""

    direction: Direction

    def rung(self, trial: int, epoch: int) -> Rung | None:
        """Return None: there are no rungs."""

    def entry(self, curve: Curve, epoch: int) -> float:
        """Return the value at the epoch, which is compared at no rung."""
        return curve[epoch]

    def decide(self, trial: int, curve: Curve, rung: Rung, order: Sequence[Place]) -> None:
        """Return None: there is no decision."""


@dataclass(frozen=True)
class Halving:
    """Asynchronous successive halving (ASHA): stop a trial below a percentile of earlier trials.

    Decides as Ray's AsyncHyperBandScheduler: the first trial at a rung goes on. With several
    brackets it is asynchronous Hyperband. A trial's bracket is a function of (seed, trial number),
    whereas Ray draws it from NumPy's global random state.
    """

    direction: Direction
    marks: tuple[int, ...]  # the rungs' epochs, ascending
    reduction: int
    brackets: int = 1
    seed: int = 0

    def bracket(self, trial: int) -> int:
        """Return the bracket of a trial.

        Each bracket begins one rung later than the one before. A bracket with more rungs is more
        likely.
        """
        if self.brackets == 1:
            return 0
        likely = np.exp([float(len(self.marks) - skipped) for skipped in range(self.brackets)])
        draw = np.random.default_rng([self.seed, trial])
        return int(draw.choice(self.brackets, p=likely / likely.sum()))

    def rung(self, trial: int, epoch: int) -> Rung | None:
        """Return the rung of an epoch, None if the trial's bracket does not compare there."""
        if epoch not in self.marks:
            return None
        bracket = self.bracket(trial)
        return (bracket, epoch) if epoch in self.marks[bracket:] else None

    def entry(self, curve: Curve, epoch: int) -> float:
        """Return the value at the rung's epoch."""
        return curve[epoch]

    def decide(self, trial: int, curve: Curve, rung: Rung, order: Sequence[Place]) -> Decision:
        """Stop a trial that is worse than the cutoff of those that reached the rung before it."""
        bracket, epoch = rung
        key = self.direction.key(curve[epoch])
        before = [-one for one, other in order if other != trial]
        share = (1 - 1 / self.reduction) * 100
        cutoff = -float(np.percentile(before, share)) if before else None
        of = f" of bracket {bracket}" if self.brackets > 1 else ""
        place = 1 + bisect.bisect_left(order, (key, -1))
        return Decision(
            trial=trial,
            epoch=epoch,
            value=curve[epoch],
            cutoff=None if cutoff is None else self.direction.key(cutoff),
            seen=len(order),
            place=f"place {place} of {len(order)} at rung {epoch}{of}",
            stopped=cutoff is not None and key > cutoff,
            direction=self.direction,
        )


@dataclass(frozen=True)
class Promoting:
    """ASHA that parks (pauses) a trial at a rung until it is among the top 1/reduction there.

    Li et al., "A System for Massively Parallel Hyperparameter Tuning", algorithm 2.
    """

    direction: Direction
    marks: tuple[int, ...]  # the rungs' epochs, ascending; none is the last epoch
    reduction: int
    trials: int  # planned for the whole study

    def rung(self, trial: int, epoch: int) -> Rung | None:
        """Return the rung of an epoch, None if there is none; all trials share one bracket."""
        return (0, epoch) if epoch in self.marks else None

    def entry(self, curve: Curve, epoch: int) -> float:
        """Return the value at the rung's epoch."""
        return curve[epoch]

    def worst_promoted(self, order: Sequence[Place], at_least: int = 0) -> Place | None:
        """Return the worst place that is promoted from a rung, None if none is.

        Of equal values, the earlier trial is ahead. At least `at_least` trials are promoted (or all
        that reached the rung), however few reached it.
        """
        leave = min(max(len(order) // self.reduction, at_least), len(order))
        return order[leave - 1] if leave else None

    def best_unpromotable(self, rung: Rung, order: Sequence[Place]) -> Place | None:
        """Return the best place that can never be promoted from a rung, whatever trials are still
        to come; None if there is none yet.

        A trial's place at a rung only falls, and at most the top share of all planned trials is
        ever promoted.
        """
        most = self.trials
        for _ in range(self.marks.index(rung[1]) + 1):
            most = max(1, most // self.reduction)
        return order[most] if most < len(order) else None

    def decide(self, trial: int, curve: Curve, rung: Rung, order: Sequence[Place]) -> Decision:
        """Stop a trial that is not among the top 1/reduction; the cutoff is the value of the worst
        one among them, or the best value if there is none.
        """
        epoch, own = rung[1], (self.direction.key(curve[rung[1]]), trial)
        last, cutoff = self.worst_promoted(order), self.worst_promoted(order, at_least=1)
        assert cutoff is not None, "the trial itself reached the rung"
        return Decision(
            trial=trial,
            epoch=epoch,
            value=curve[epoch],
            cutoff=self.direction.key(cutoff[0]),
            seen=len(order),
            place=f"place {1 + bisect.bisect_left(order, own)} of {len(order)} at rung {epoch}",
            stopped=last is None or own > last,
            direction=self.direction,
        )


@dataclass(frozen=True)
class BelowMedian:
    """Stop a trial whose best value is worse than the median of the others' means up to its epoch.

    Decides as Ray's MedianStoppingRule, except that a trial goes on if there are too few others to
    compare with: Ray would pause it, and a paused trial loses the epochs since its last checkpoint.
    """

    direction: Direction
    grace: int
    min_trials: int

    def rung(self, trial: int, epoch: int) -> Rung | None:
        """Return a rung at every epoch from the grace epoch on, None before it."""
        return (0, epoch) if epoch >= self.grace else None

    def entry(self, curve: Curve, epoch: int) -> float:
        """Return the mean of the values from the grace epoch to this one."""
        return float(np.mean([curve[at] for at in curve if self.grace <= at <= epoch]))

    def decide(
        self, trial: int, curve: Curve, rung: Rung, order: Sequence[Place]
    ) -> Decision | None:
        """Compare the trial's best value after the warm-up with the median of the others' means."""
        means = [key for key, other in order if other != trial]
        if len(means) < self.min_trials:
            return None
        median = self.direction.key(float(np.median(means)))
        value = self.direction.best(value for at, value in curve.items() if at > 0)
        return Decision(
            trial=trial,
            epoch=rung[1],
            value=value,
            cutoff=median,
            seen=len(means),
            place=f"best value against the median of {len(means)} trials' means",
            stopped=self.direction.better(median, value),
            direction=self.direction,
        )


def rule_of(config: SearchConfig) -> Rule:
    """Return the stopping rule that a configuration requests."""
    scheduler, way = config.scheduler, config.direction
    if isinstance(scheduler, Unstopped):
        return TrainAll(way)
    if isinstance(scheduler, Median):
        return BelowMedian(way, scheduler.grace, scheduler.min_trials)
    if isinstance(scheduler, Promotion):
        return Promoting(
            way, waiting_rungs(scheduler, config.epochs), scheduler.reduction, config.trials
        )
    marks = rungs(scheduler.first_rung, scheduler.reduction, config.epochs)
    brackets = min(scheduler.brackets, len(marks)) if isinstance(scheduler, Hyperband) else 1
    return Halving(way, marks, scheduler.reduction, brackets, config.seed)

"""ASHA that parks a trial at its rung, and takes it up again once it is among the best there.

Li et al., "A System for Massively Parallel Hyperparameter Tuning", algorithm 2. To Ray a parked
trial has ended: its slot serves another, and a promoted one begins as a resumed one does.
"""

import bisect
import math
from collections.abc import Iterable
from typing import Any

from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from tlsearch.config.catalog import Direction
from tlsearch.config.scheduler import rungs
from tlsearch.results.record.journal import TrialRecord
from tlsearch.search.propose.searcher import METRIC, TIME_ATTR
from tlsearch.search.stop.decision import Decision

Place = tuple[float, int]  # value, negated where more is better, and number: of equals the earlier


class PromotingAsha(FIFOScheduler):
    """Rungs that trials leave by merit alone: the top 1/reduction of those that reached it.

    `parked` maps the trials that wait to their rung's epoch; `decisions` holds what was decided of
    each trial as it came to a rung.
    """

    def __init__(
        self, *, direction: Direction, epochs: int, first_rung: int, reduction: int
    ) -> None:
        super().__init__()
        self._direction = direction
        self._sign = 1 if direction == "max" else -1
        self._reduction = reduction
        marks = [epoch for epoch in rungs(first_rung, reduction, epochs) if epoch < epochs]
        self.rungs: dict[int, dict[int, float]] = {epoch: {} for epoch in marks}
        self._orders: dict[int, list[Place]] = {epoch: [] for epoch in marks}
        self._waiting: dict[int, list[Place]] = {epoch: [] for epoch in marks}  # the parked ones
        self.parked: dict[int, int] = {}
        self.decisions: list[Decision] = []

    def rebuild(self, history: Iterable[TrialRecord]) -> None:
        """Fill the rungs from the journal; an unfinished trial whose last epoch is a rung waits."""
        for trial in history:
            for epoch in self.rungs.keys() & trial.values.keys():
                if math.isfinite(trial.values[epoch]):
                    self._reach(epoch, trial.number, trial.values[epoch])
            at = self.rungs.get(trial.epochs, {})
            if trial.state == "unfinished" and trial.number in at:
                self._park(trial.number, trial.epochs)

    def promote(self, at_least: int = 0) -> int | None:
        """The trial to take up again, of the last rung that has one, None where none is due.

        `at_least` as many leave each rung, however few reached it.
        """
        for epoch in reversed(self.rungs):
            last, waiting = self._last(epoch, at_least), self._waiting[epoch]
            if last is not None and waiting and waiting[0] <= last:
                number = waiting.pop(0)[1]
                del self.parked[number]
                return number
        return None

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Continue, or park at a rung; stop a trial with a value that is no number."""
        number, epoch, value = trial.config["number"], result[TIME_ATTR], result[METRIC]
        if not math.isfinite(value):
            return str(TrialScheduler.STOP)
        reached = self.rungs.get(epoch)
        if reached is None or number in reached:  # one taken up again may repeat its rung's epoch
            return str(TrialScheduler.CONTINUE)
        self._reach(epoch, number, value)
        last = self._last(epoch)
        goes_on = last is not None and self._place(epoch, number) <= last
        self.decisions.append(self._decision(number, epoch, stopped=not goes_on))
        return str(TrialScheduler.CONTINUE if goes_on else TrialScheduler.STOP)

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """A trial left its slot: it waits if its last epoch is a rung and its value is sound.

        One that ended itself there waits for nothing; Ray shows its value here alone.
        """
        number, epoch = trial.config["number"], int(result.get(TIME_ATTR, 0))
        value, reached = result.get(METRIC, math.nan), self.rungs.get(epoch)
        broke = result.get("failure") is not None or result.get("diverged")
        if reached is None or broke or not math.isfinite(value):
            return
        if number in reached:
            self._park(number, epoch)
        else:
            self._reach(epoch, number, value)

    def dismiss(self) -> dict[int, str]:
        """Trial -> why it is never taken up again, for all that wait; none waits any more."""
        found = {n: str(self._decision(n, epoch, stopped=True)) for n, epoch in self.parked.items()}
        self.parked = {}
        self._waiting = {epoch: [] for epoch in self.rungs}
        return found

    def _reach(self, epoch: int, number: int, value: float) -> None:
        """A trial came to a rung: its place there is kept, so that nobody has to sort them."""
        self.rungs[epoch][number] = value
        bisect.insort(self._orders[epoch], self._place(epoch, number))

    def _park(self, number: int, epoch: int) -> None:
        """A trial waits at its rung."""
        if self.parked.get(number) == epoch:
            return
        self.parked[number] = epoch
        bisect.insort(self._waiting[epoch], self._place(epoch, number))

    def _place(self, epoch: int, number: int) -> Place:
        """Where a trial stands at a rung it reached: the smaller the better."""
        return -self._sign * self.rungs[epoch][number], number

    def _last(self, epoch: int, at_least: int = 0) -> Place | None:
        """The last place that leaves a rung, None where none does yet."""
        order = self._orders[epoch]
        leave = min(max(len(order) // self._reduction, at_least), len(order))
        return order[leave - 1] if leave else None

    def _decision(self, number: int, epoch: int, stopped: bool) -> Decision:
        """What stands against a trial at its rung: the last one that would be promoted there."""
        order, last = self._orders[epoch], self._last(epoch, at_least=1)
        assert last is not None, "the trial itself reached the rung"
        place = 1 + bisect.bisect_left(order, self._place(epoch, number))
        return Decision(
            trial=number,
            epoch=epoch,
            value=self.rungs[epoch][number],
            cutoff=self.rungs[epoch][last[1]],
            seen=len(order),
            place=f"place {place} of {len(order)} at rung {epoch}",
            stopped=stopped,
            direction=self._direction,
        )

"""ASHA that parks a trial at its rung, and takes it up again once it is among the best there.

Li et al., "A System for Massively Parallel Hyperparameter Tuning", algorithm 2. To Ray a parked
trial has ended: its slot serves another, and a promoted one begins as a resumed one does.
"""

import math
from collections.abc import Iterable
from typing import Any

from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from tlsearch.config.catalog import Direction
from tlsearch.results.journal import TrialRecord
from tlsearch.results.rungs import rungs
from tlsearch.search.decision import Decision
from tlsearch.search.sampler import METRIC, TIME_ATTR


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
        self.parked: dict[int, int] = {}
        self.decisions: list[Decision] = []

    def rebuild(self, history: Iterable[TrialRecord]) -> None:
        """Fill the rungs from the journal; an unfinished trial whose last epoch is a rung waits."""
        for trial in history:
            for epoch in self.rungs.keys() & trial.values.keys():
                if math.isfinite(trial.values[epoch]):
                    self.rungs[epoch][trial.number] = trial.values[epoch]
            if trial.state == "unfinished" and trial.epochs in self.rungs:
                self.parked[trial.number] = trial.epochs

    def promote(self, at_least: int = 0) -> int | None:
        """The trial to take up again, of the last rung that has one, None where none is due.

        `at_least` as many leave each rung, however few reached it.
        """
        for epoch in reversed(self.rungs):
            for number in self._best(epoch, at_least):
                if self.parked.get(number) == epoch:
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
        reached[number] = value
        goes_on = number in self._best(epoch)
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
            self.parked[number] = epoch
        else:
            reached[number] = value

    def dismiss(self) -> dict[int, str]:
        """Trial -> why it is never taken up again, for all that wait; none waits any more."""
        found = {n: str(self._decision(n, epoch, stopped=True)) for n, epoch in self.parked.items()}
        self.parked = {}
        return found

    def _order(self, epoch: int) -> list[int]:
        """The trials that reached a rung, best first, of equals the earlier."""
        reached = self.rungs[epoch]
        return sorted(reached, key=lambda number: (-self._sign * reached[number], number))

    def _best(self, epoch: int, at_least: int = 0) -> list[int]:
        order = self._order(epoch)
        return order[: max(len(order) // self._reduction, at_least)]

    def _decision(self, number: int, epoch: int, stopped: bool) -> Decision:
        """What stands against a trial at its rung: the last one that would be promoted there."""
        order = self._order(epoch)
        best = max(len(order) // self._reduction, 1)
        return Decision(
            trial=number,
            epoch=epoch,
            value=self.rungs[epoch][number],
            cutoff=self.rungs[epoch][order[best - 1]],
            seen=len(order),
            place=f"place {order.index(number) + 1} of {len(order)} at rung {epoch}",
            stopped=stopped,
            direction=self._direction,
        )

"""The values of a study's trials at the rungs, and the rule's decision on each trial."""

import bisect
import math
from collections import defaultdict
from collections.abc import Iterable

from tlsearch.results.record.journal import TrialRecord
from tlsearch.search.stop.decision import Decision
from tlsearch.search.stop.rules import Curve, Place, Promoting, Rule, Rung


class Rungs:
    """The rungs of a study under one rule, rebuilt from its journal.

    This class handles what the stateless rules need not know: epochs that a resumed trial repeats,
    values that are NaN or infinite, the last value of a trial that ended itself, and which trials
    are parked.
    """

    def __init__(self, rule: Rule, history: Iterable[TrialRecord] = ()) -> None:
        self._rule = rule
        self._promoting = rule if isinstance(rule, Promoting) else None
        self.orders: defaultdict[Rung, list[Place]] = defaultdict(list)  # best first
        self._waiting: defaultdict[Rung, list[Place]] = defaultdict(list)  # the parked ones
        self.parked: dict[int, Rung] = {}
        for trial in history:
            self._rebuild(trial)

    def _rebuild(self, trial: TrialRecord) -> None:
        """Enter a trial from the journal; if its last epoch is a rung and it is unfinished, it is
        parked there (with a promoting rule).
        """
        curve = {epoch: value for epoch, value in trial.values.items() if math.isfinite(value)}
        last = None
        for epoch in sorted(curve):
            last = self._enter(trial.number, epoch, curve)
        if self._promoting and trial.state == "unfinished" and last is not None:
            self._park(trial.number, last, curve[last[1]])

    def take(
        self, trial: int, epoch: int, value: float, before: Curve, over: bool = False
    ) -> Decision | None:
        """Enter the value of an epoch; return the decision on the trial, None if there is none.

        `before` holds the trial's earlier values. For a trial that is `over`, the value is entered
        but nothing is decided, unless the value is not finite.
        """
        if epoch in before:
            return None
        if not math.isfinite(value):
            direction, place = self._rule.direction, "which is not finite"
            return Decision(trial, epoch, value, None, 0, place, True, direction)
        curve = {**before, epoch: value}
        rung = self._enter(trial, epoch, curve)
        if rung is None or over:
            return None
        decision = self._rule.decide(trial, curve, rung, self.orders[rung])
        if self._promoting and decision is not None and decision.stopped:
            self._park(trial, rung, value)
        return decision

    def promote(self, at_least: int = 0) -> int | None:
        """Return the parked trial to continue, from the highest rung that has one due; None if no
        trial is due.

        At least `at_least` places of each rung count as promoted, however few trials reached it.
        """
        if self._promoting is None:
            return None
        for rung in sorted(self._waiting, reverse=True):
            last = self._promoting.worst_promoted(self.orders[rung], at_least)
            waiting = self._waiting[rung]
            if last is not None and waiting and waiting[0] <= last:
                number = waiting.pop(0)[1]
                del self.parked[number]
                return number
        return None

    def dismiss(self, whole: bool = False) -> list[Decision]:
        """Remove parked trials that can no longer be promoted, or all of them if `whole`; return
        the decisions that stop them.
        """
        if self._promoting is None:
            return []
        found = []
        for rung, waiting in self._waiting.items():
            order = self.orders[rung]
            first = order[0] if whole else self._promoting.best_unpromotable(rung, order)
            at = len(waiting) if first is None else bisect.bisect_left(waiting, first)
            for key, trial in waiting[at:]:
                del self.parked[trial]
                curve = {rung[1]: self._rule.direction.key(key)}
                found.append(self._promoting.decide(trial, curve, rung, order))
            del waiting[at:]
        return found

    def _enter(self, trial: int, epoch: int, curve: Curve) -> Rung | None:
        """Insert a trial's value at an epoch into its rung, in order, so that no sort is needed;
        return the rung, None if the epoch has none.
        """
        rung = self._rule.rung(trial, epoch)
        if rung is not None:
            bisect.insort(self.orders[rung], self._place(trial, self._rule.entry(curve, epoch)))
        return rung

    def _park(self, trial: int, rung: Rung, value: float) -> None:
        """Park a trial at its rung."""
        self.parked[trial] = rung
        bisect.insort(self._waiting[rung], self._place(trial, value))

    def _place(self, trial: int, value: float) -> Place:
        return self._rule.direction.key(value), trial

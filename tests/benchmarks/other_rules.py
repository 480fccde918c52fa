"""Stopping rules that tlsearch does not offer, for comparison with its own in `replay.py`."""

from collections.abc import Callable, Sequence

from tlsearch.config.catalog import Direction
from tlsearch.search.stop.decision import Decision
from tlsearch.search.stop.rules import Curve, Halving, Place, Promoting, Rung, TrainAll
from tlsearch.search.stop.rungs import Rungs

MARKS, REDUCTION = (2, 6, 18), 3
ALL = 10**6  # planned trials, so many that any run may still be promoted


class StrictAsha(Halving):
    """Continues a run past a rung if it is among the top third of all that reached the rung.

    The first two runs at a rung are stopped; Ray's rule lets the first one pass, and compares later
    ones with a percentile of those before.
    """

    def decide(self, trial: int, curve: Curve, rung: Rung, order: Sequence[Place]) -> Decision:
        """Return the same decision as promotion, but for good."""
        promoting = Promoting(self.direction, self.marks, self.reduction, ALL)
        return promoting.decide(trial, curve, rung, order)


class Pasha(Rungs):
    """Promotion up to a rung that moves up once the last two rungs rank their runs differently.

    Bohdal et al., "PASHA: Efficient HPO and NAS with Progressive Resource Allocation", with a soft
    ranking: two runs within `SOFT` points of accuracy rank alike.
    """

    SOFT = 1.0

    def __init__(self) -> None:
        super().__init__(Promoting(Direction.MAX, MARKS, REDUCTION, ALL))
        self._open = 2  # rungs in use

    def promote(self, at_least: int = 0) -> int | None:
        """Return a run that waits below the last rung in use, or any waiting run if none is new."""
        closed = {(0, epoch) for epoch in MARKS[self._open - 1 :]} if at_least == 0 else set()
        kept = {rung: self._waiting.pop(rung) for rung in closed & self._waiting.keys()}
        number = super().promote(at_least)
        self._waiting.update(kept)
        return number

    def take(
        self, trial: int, epoch: int, value: float, before: Curve, over: bool = False
    ) -> Decision | None:
        """Return promotion's decision, except that every run waits at the last rung in use."""
        decision = super().take(trial, epoch, value, before, over)
        if decision is None or epoch not in MARKS[: self._open]:
            return decision
        if self._open < len(MARKS) and not self._stable():
            self._open += 1
        elif epoch == MARKS[self._open - 1] and not decision.stopped:
            self._park(trial, (0, epoch), value)
            return Decision(trial, epoch, value, None, 0, "", True, Direction.MAX)
        return decision

    def _stable(self) -> bool:
        below = {trial: -key for key, trial in self.orders[0, MARKS[self._open - 2]]}
        order = [trial for _, trial in self.orders[0, MARKS[self._open - 1]]]
        return all(
            below[a] >= below[b] - self.SOFT
            for place, a in enumerate(order)
            for b in order[place + 1 :]
        )


class ProlongedCurves(Rungs):
    """Stops a run once its extrapolated curve stays below the best accuracy seen.

    At epochs 2, 4, 6, 9, 12, 18, 25 and 36 the best accuracy of the run is extrapolated: its gain
    over the last half of the epochs is added once more.
    """

    def __init__(self) -> None:
        super().__init__(TrainAll(Direction.MAX))
        self._best = float("-inf")

    def take(
        self, trial: int, epoch: int, value: float, before: Curve, over: bool = False
    ) -> Decision | None:
        """Decide at some epochs, by what the other runs reached."""
        others, self._best = self._best, max(self._best, value)
        if over or epoch not in (2, 4, 6, 9, 12, 18, 25, 36):
            return None
        curve = [*before.values(), value]
        top, half = max(curve), max(curve[: len(curve) // 2])
        stopped = top + (top - half) < others
        return Decision(trial, epoch, value, others, 0, "", stopped, Direction.MAX)


OTHER_RULES: dict[str, Callable[[], Rungs]] = {
    "strict asha": lambda: Rungs(StrictAsha(Direction.MAX, MARKS, REDUCTION)),
    "pasha": Pasha,
    "curve": ProlongedCurves,
}

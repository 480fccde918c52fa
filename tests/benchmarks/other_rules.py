"""Stopping rules that tlsearch does not offer, to be compared with its own in `replay.py`."""

from collections import defaultdict
from collections.abc import Callable
from typing import Any

from tlsearch.config.catalog import Direction
from tlsearch.search.stop.promotion import PromotingAsha

FIRST, REDUCTION = 2, 3
CONTINUE, STOP = "CONTINUE", "STOP"


def _promoting(epochs: int) -> PromotingAsha:
    return PromotingAsha(
        direction=Direction.MAX, epochs=epochs, first_rung=FIRST, reduction=REDUCTION
    )


class _Silent:
    """A rule that keeps nothing once a run has ended."""

    def on_trial_complete(self, controller: Any, trial: Any, result: dict[str, Any]) -> None:
        pass


class StrictAsha(_Silent):
    """A run goes on past a rung if it is among the top third of all that came there.

    The first two that come to a rung are stopped; Ray's rule lets the first one pass, and compares
    the later ones with a percentile of those before.
    """

    def __init__(self, epochs: int) -> None:
        self._rungs: dict[int, list[float]] = {2: [], 6: [], 18: []}

    def on_trial_result(self, controller: Any, trial: Any, result: dict[str, Any]) -> str:
        reached = self._rungs.get(result["epoch"])
        if reached is None:
            return CONTINUE
        reached.append(result["value"])
        leave = len(reached) // REDUCTION
        order = sorted(reached, reverse=True)
        return CONTINUE if leave and result["value"] >= order[leave - 1] else STOP


class Pasha:
    """Promotion up to a rung that moves up once the two last rungs rank their runs differently.

    Bohdal et al., "PASHA: Efficient HPO and NAS with Progressive Resource Allocation", with a soft
    ranking: two runs within `SOFT` points of accuracy rank alike.
    """

    SOFT = 1.0

    def __init__(self, epochs: int) -> None:
        self._asha = _promoting(epochs)
        self._open = 2  # rungs in use

    @property
    def parked(self) -> dict[int, int]:
        return self._asha.parked

    def promote(self, at_least: int = 0) -> int | None:
        """A run that waits below the last rung in use; once nothing is new, any."""
        rungs = list(self._asha.rungs)
        if at_least == 0:
            closed = rungs[self._open - 1 :]
            kept = {epoch: self._asha._waiting[epoch] for epoch in closed}
            self._asha._waiting.update({epoch: [] for epoch in closed})
            number = self._asha.promote()
            self._asha._waiting.update(kept)
            return number
        return self._asha.promote(at_least)

    def on_trial_result(self, controller: Any, trial: Any, result: dict[str, Any]) -> str:
        decision = self._asha.on_trial_result(controller, trial, result)
        rungs = list(self._asha.rungs)
        if result["epoch"] in rungs[: self._open]:
            if self._open < len(rungs) and not self._stable():
                self._open += 1
            elif result["epoch"] == rungs[self._open - 1]:
                return STOP  # the last rung in use: it waits
        return decision

    def on_trial_complete(self, controller: Any, trial: Any, result: dict[str, Any]) -> None:
        self._asha.on_trial_complete(controller, trial, result)

    def _stable(self) -> bool:
        rungs = list(self._asha.rungs)
        below, last = (self._asha.rungs[rungs[self._open - n]] for n in (2, 1))
        order = sorted(last, key=lambda number: -last[number])
        return all(
            below[a] >= below[b] - self.SOFT
            for place, a in enumerate(order)
            for b in order[place + 1 :]
        )


class CurveRule(_Silent):
    """A run is stopped once its curve, prolonged, stays below the best that was seen.

    Every third epoch on from the second: an accuracy is prolonged by what it gained over the last
    half of its epochs, once more.
    """

    def __init__(self, epochs: int) -> None:
        self._curves: dict[int, list[float]] = defaultdict(list)
        self._best = float("-inf")

    def on_trial_result(self, controller: Any, trial: Any, result: dict[str, Any]) -> str:
        curve = self._curves[trial.config["number"]]
        curve.append(result["value"])
        others, self._best = self._best, max(self._best, result["value"])
        if len(curve) not in (2, 4, 6, 9, 12, 18, 25, 36):
            return CONTINUE
        top, before = max(curve), max(curve[: len(curve) // 2])
        return CONTINUE if top + (top - before) >= others else STOP


OTHER_RULES: dict[str, Callable[[int], Any]] = {
    "strict asha": StrictAsha,
    "pasha": Pasha,
    "curve": CurveRule,
}

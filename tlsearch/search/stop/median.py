"""The median rule by epoch: Ray's decisions, safe from NaN, never pausing, saying why."""

import math
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import numpy as np
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from tlsearch.config.catalog import Direction
from tlsearch.results.record.journal import TrialRecord
from tlsearch.search.propose.searcher import METRIC, TIME_ATTR
from tlsearch.search.stop.decision import Decision


class ExplainedMedian(FIFOScheduler):
    """Stop a trial whose best value is below the median of the others' means up to its epoch.

    Decides as Ray's MedianStoppingRule does, but knows trials by number, so that the journal can
    rebuild it, and lets a trial go on where too few others can be compared: stock Ray would pause
    it, and a paused trial loses the epochs since its last checkpoint.
    """

    def __init__(
        self, *, direction: Direction, grace: int, min_trials: int, reasons: dict[int, str]
    ) -> None:
        super().__init__()
        self._direction = direction
        self._grace = grace
        self._min_trials = min_trials
        self._reasons = reasons
        self.values: dict[int, dict[int, float]] = defaultdict(dict)  # trial -> epoch -> value
        self._to: dict[int, dict[int, float]] = defaultdict(dict)  # epoch -> trial -> mean up to it
        self.decisions: list[Decision] = []

    def rebuild(self, history: Iterable[TrialRecord]) -> None:
        """Take up every value that the journal knows."""
        for trial in history:
            for epoch, value in sorted(trial.values.items()):
                if math.isfinite(value):
                    self._take(trial.number, epoch, value)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Continue, or stop a trial below the median or with a value that is no number."""
        number, epoch, value = trial.config["number"], result[TIME_ATTR], result[METRIC]
        if not math.isfinite(value):
            return str(TrialScheduler.STOP)
        if epoch in self.values[number]:  # a resumed trial repeats it
            return str(TrialScheduler.CONTINUE)
        self._take(number, epoch, value)
        means = self._means(number, epoch) if epoch >= self._grace else []
        if len(means) < self._min_trials:
            return str(TrialScheduler.CONTINUE)
        decision = self._decide(number, epoch, means)
        self.decisions.append(decision)
        if not decision.stopped:
            return str(TrialScheduler.CONTINUE)
        self._reasons[number] = str(decision)
        return str(TrialScheduler.STOP)

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """Take up the last value of a trial that ended itself: Ray shows it here alone."""
        value, number = result.get(METRIC, math.nan), trial.config["number"]
        sound = math.isfinite(value) and not result.get("diverged")
        if sound and result[TIME_ATTR] not in self.values[number]:
            self._take(number, result[TIME_ATTR], value)

    def _take(self, number: int, epoch: int, value: float) -> None:
        """Take up a value, and the mean of its trial up to it, which no later value changes.

        So a decision does not look at every epoch of every trial again. An epoch that the record
        lacks has the mean of those before it.
        """
        known = self.values[number]
        last = max(known, default=0)
        known[epoch] = value
        for between in range(max(last + 1, self._grace), epoch + 1):
            scope = [v for e, v in known.items() if self._grace <= e <= between]
            if scope:
                self._to[between][number] = float(np.mean(scope))

    def _means(self, number: int, epoch: int) -> list[float]:
        """The mean value from the grace epoch to this one, of each other trial that came so far."""
        return [mean for other, mean in self._to[epoch].items() if other != number]

    def _decide(self, number: int, epoch: int, means: list[float]) -> Decision:
        best = max if self._direction == "max" else min
        own = [value for at, value in self.values[number].items() if at > 0]  # not the warm-up's
        value, median = best(own), float(np.median(means))
        return Decision(
            trial=number,
            epoch=epoch,
            value=value,
            cutoff=median,
            seen=len(means),
            place=f"best value against the median of {len(means)} trials' means",
            stopped=best(median, value) != value,
            direction=self._direction,
        )

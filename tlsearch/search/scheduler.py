"""ASHA by epoch: Ray's, safe from NaN, saying why, its rungs rebuilt from the journal."""

import math
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, TrialScheduler

from tlsearch.config.catalog import Direction
from tlsearch.config.schema import SearchConfig
from tlsearch.results.journal import TrialRecord
from tlsearch.search.sampler import METRIC, TIME_ATTR


class ExplainedAsha(AsyncHyperBandScheduler):
    """Asynchronous successive halving whose rungs hold trial numbers and outlive a restart.

    `reasons` (trial number -> sentence) receives why each trial was stopped.
    """

    def __init__(
        self,
        *,
        direction: Direction,
        epochs: int,
        first_rung: int,
        reduction: int,
        reasons: dict[int, str],
    ) -> None:
        super().__init__(
            time_attr=TIME_ATTR,
            metric=METRIC,
            mode=direction,
            max_t=epochs,
            grace_period=min(first_rung, epochs),
            reduction_factor=reduction,
        )
        self._reasons = reasons

    @property
    def rungs(self) -> list[tuple[int, dict[str, float]]]:
        """Milestone epoch and trial number -> value (negated where less is better), last first."""
        return list(self._brackets[0]._rungs)

    def rebuild(self, history: Iterable[TrialRecord]) -> None:
        """Put every value that the journal knows at a rung's epoch back into the rung."""
        for trial in history:
            for milestone, recorded in self.rungs:
                if milestone in trial.values:
                    recorded[str(trial.number)] = self._metric_op * trial.values[milestone]

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Continue, or stop a trial below its rung's cutoff or with a value that is no number."""
        number, epoch, value = trial.config["number"], result[TIME_ATTR], result[METRIC]
        if not math.isfinite(value):
            return str(TrialScheduler.STOP)
        named = SimpleNamespace(trial_id=str(number))
        decision = str(self._brackets[0].on_result(named, epoch, self._metric_op * value))
        if decision == TrialScheduler.STOP:
            self._num_stopped += 1
            self._reasons[number] = self._explain(number, epoch, value)
        return decision

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """Nothing: each result was seen, and the last one decides nothing any more."""

    def _explain(self, number: int, epoch: int, value: float) -> str:
        milestone, recorded = next(rung for rung in self.rungs if rung[0] <= epoch)
        others = {key: reward for key, reward in recorded.items() if key != str(number)}
        cutoff = self._metric_op * float(self._brackets[0].cutoff(others))
        place = 1 + sum(reward > self._metric_op * value for reward in others.values())
        sign = "<" if self._metric_op > 0 else ">"
        return (
            f"stopped at epoch {epoch}: {value:.4g} {sign} {cutoff:.4g}, "
            f"place {place} of {len(recorded)} at rung {milestone}"
        )


def build_scheduler(
    config: SearchConfig, history: Iterable[TrialRecord], reasons: dict[int, str]
) -> TrialScheduler:
    """The scheduler that the search asks for, knowing what the journal knows."""
    if config.asha is None:
        return FIFOScheduler()
    asha = ExplainedAsha(
        direction=config.direction,
        epochs=config.epochs,
        first_rung=config.asha.first_rung,
        reduction=config.asha.reduction,
        reasons=reasons,
    )
    asha.rebuild(history)
    return asha

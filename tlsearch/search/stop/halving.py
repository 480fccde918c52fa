"""ASHA and Hyperband by epoch: Ray's, safe from NaN, saying why, rebuilt from the journal."""

import math
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import numpy as np
from ray.tune.schedulers import AsyncHyperBandScheduler, TrialScheduler

from tlsearch.config.catalog import Direction
from tlsearch.config.scheduler import rungs
from tlsearch.results.record.journal import TrialRecord
from tlsearch.search.propose.searcher import METRIC, TIME_ATTR
from tlsearch.search.stop.decision import Decision

Rung = tuple[int, dict[str, float]]


class ExplainedHalving(AsyncHyperBandScheduler):
    """Asynchronous successive halving whose rungs hold trial numbers and outlive a restart.

    With several brackets it is asynchronous Hyperband, and the bracket of a trial is a function of
    (seed, trial number): stock Ray draws it from numpy's global state, so that another run, or the
    same one resumed, compares other trials. `reasons` (trial number -> sentence) receives why each
    trial was stopped, `decisions` all that was decided.
    """

    def __init__(
        self,
        *,
        direction: Direction,
        epochs: int,
        first_rung: int,
        reduction: int,
        reasons: dict[int, str],
        brackets: int = 1,
        seed: int = 0,
    ) -> None:
        super().__init__(
            time_attr=TIME_ATTR,
            metric=METRIC,
            mode=direction,
            max_t=epochs,
            grace_period=min(first_rung, epochs),
            reduction_factor=reduction,
            brackets=min(brackets, len(rungs(first_rung, reduction, epochs))),
        )
        self._seed = seed
        self._reasons = reasons
        self.decisions: list[Decision] = []

    @property
    def brackets(self) -> list[list[Rung]]:
        """A bracket's rungs, last first: milestone epoch, and trial number -> value there (negated
        where less is better).
        """
        return [list(bracket._rungs) for bracket in self._brackets]

    def bracket_of(self, number: int) -> int:
        """The bracket of a trial; the more rungs it has, the more likely, as in stock Ray."""
        if len(self._brackets) == 1:
            return 0
        likely = np.exp([float(len(rungs)) for rungs in self.brackets])
        draw = np.random.default_rng([self._seed, number])
        return int(draw.choice(len(likely), p=likely / likely.sum()))

    def rebuild(self, history: Iterable[TrialRecord]) -> None:
        """Put every value that the journal knows at a rung's epoch back into the rung."""
        for trial in history:
            for milestone, recorded in self.brackets[self.bracket_of(trial.number)]:
                value = trial.values.get(milestone, math.nan)
                if math.isfinite(value):
                    recorded[str(trial.number)] = self._metric_op * value

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """Nothing: the bracket of a trial is known from its number."""

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Continue, or stop a trial below its rung's cutoff or with a value that is no number."""
        number, epoch, value = trial.config["number"], result[TIME_ATTR], result[METRIC]
        if not math.isfinite(value):
            return str(TrialScheduler.STOP)
        rung = self._entered(number, epoch)
        if rung is None:
            return str(TrialScheduler.CONTINUE)
        decision = self._decide(number, epoch, value, rung)
        self.decisions.append(decision)
        if not decision.stopped:
            return str(TrialScheduler.CONTINUE)
        self._num_stopped += 1
        self._reasons[number] = str(decision)
        return str(TrialScheduler.STOP)

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """Take up the value of a trial that ended itself at a rung: Ray shows it here alone."""
        number, epoch = trial.config["number"], int(result.get(TIME_ATTR, 0))
        value, rung = result.get(METRIC, math.nan), self._entered(number, epoch)
        sound = math.isfinite(value) and not result.get("diverged")
        if sound and rung is not None and rung[0] == epoch:
            rung[1][str(number)] = self._metric_op * value

    def on_trial_remove(self, tune_controller: Any, trial: Any) -> None:
        """Nothing: its values stay in their rungs."""

    def _entered(self, number: int, epoch: int) -> Rung | None:
        """The last rung that a trial has come to, None where its value was taken there before."""
        rungs = self.brackets[self.bracket_of(number)]
        return next((r for r in rungs if r[0] <= epoch and str(number) not in r[1]), None)

    def _decide(self, number: int, epoch: int, value: float, rung: Rung) -> Decision:
        """Ray's decision, with what it was compared with."""
        milestone, recorded = rung
        at = self.bracket_of(number)
        bracket, reward = self._brackets[at], self._metric_op * value
        cutoff = bracket.cutoff(recorded)
        values = np.fromiter(recorded.values(), float, len(recorded))
        place = 1 + np.count_nonzero(values > reward)
        action = bracket.on_result(SimpleNamespace(trial_id=str(number)), epoch, reward)
        of = f" of bracket {at}" if len(self._brackets) > 1 else ""
        return Decision(
            trial=number,
            epoch=epoch,
            value=value,
            cutoff=None if cutoff is None else self._metric_op * float(cutoff),
            seen=len(recorded),
            place=f"place {place} of {len(recorded)} at rung {milestone}{of}",
            stopped=action == TrialScheduler.STOP,
            direction=self._mode,
        )

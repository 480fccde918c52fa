"""A searcher whose trials may wait at a rung: not told until no promotion can reach them."""

from collections import deque
from typing import Any

from optuna.trial import Trial
from ray.tune.search import Searcher

from tlsearch.results.record.journal import TrialRecord, read_trial
from tlsearch.search.propose.searcher import TruthfulSearch, noted
from tlsearch.search.stop.promotion import PromotingAsha


class PromotingSearch(TruthfulSearch):
    """Proposes promoted trials first, then those cut short, then new ones; parked ones stay untold.

    Once every trial of the study has begun, none runs and none is due, the best of each rung goes
    on, so that the best is trained to its last epoch; then those that wait are told as stopped.
    """

    def follow(self, rungs: PromotingAsha) -> None:
        """Let `rungs` say which trials wait; those are not taken up as if they were cut short."""
        self._promotion = rungs
        waiting = {self._id(number) for number in rungs.parked}
        self._unfinished = deque(one for one in self._unfinished if one not in waiting)

    def suggest(self, trial_id: str) -> Any:
        """The next trial; None while only a running one can change what is due; FINISHED."""
        number = self._promotion.promote()
        if number is None and not self._unfinished and self._all_began():
            if self._running:
                return None
            number = self._promotion.promote(at_least=1)
            if number is None:
                return self._end()
        if number is not None:
            self._unfinished.appendleft(self._id(number))
        return super().suggest(trial_id)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Tell Optuna what became of a trial, unless it only waits at its rung."""
        trial = self._ot_trials.get(trial_id)
        if error or trial is None or result is None or trial.number not in self._promotion.parked:
            super().on_trial_complete(trial_id, result, error)
            return
        self._running.discard(trial_id)
        self._record(trial_id, result)
        self._completed_trials.add(trial_id)
        for name, value in noted(result).items():
            trial.set_user_attr(name, value)

    def _end(self) -> str:
        """Tell every trial that still waits."""
        for number, why in self._promotion.dismiss().items():
            self.reasons[number] = why
            self._ot_trials[f"parked-{number}"] = Trial(self.study, self._id(number))
            last = _last_result(read_trial(self.study._storage.get_trial(self._id(number))))
            super().on_trial_complete(f"parked-{number}", last)
        return str(Searcher.FINISHED)

    def _id(self, number: int) -> int:
        study = self.study
        return study._storage.get_trial_id_from_study_id_trial_number(study._study_id, number)


def _last_result(trial: TrialRecord) -> dict[str, Any]:
    """The result with which a trial came to its rung, from the journal."""
    last = {"epoch": trial.epochs, "value": trial.values[trial.epochs]}
    return last | {"diverged": False, "failure": None, "worker": trial.worker}

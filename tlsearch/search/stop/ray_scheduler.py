"""Ray's scheduler of a search: it hands each result on and answers what the searcher says."""

from collections.abc import Callable, Mapping
from typing import Any

from ray.tune.schedulers import FIFOScheduler, TrialScheduler


class RungScheduler(FIFOScheduler):
    """The one way of a trial's results into the study.

    Ray shows a result to its scheduler first, and to its searcher only where the trial goes on.
    Here `take` (Ray's id of the trial, result) records it and says whether the trial goes on. The
    last result of a trial that ended itself Ray shows to the searcher alone.
    """

    def __init__(self, take: Callable[[str, Mapping[str, Any]], bool]) -> None:
        super().__init__()
        self._take = take

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Continue, or stop the trial."""
        goes_on = self._take(trial.trial_id, result)
        return str(TrialScheduler.CONTINUE if goes_on else TrialScheduler.STOP)

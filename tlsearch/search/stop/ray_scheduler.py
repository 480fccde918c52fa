"""The Ray scheduler of a search: it passes each result to the searcher and returns its decision."""

from collections.abc import Callable, Mapping
from typing import Any

from ray.tune.schedulers import FIFOScheduler, TrialScheduler


class RungScheduler(FIFOScheduler):
    """Passes every result of a running trial to `take`, and stops the trial if `take` says so.

    Ray shows a result to the scheduler first, and to the searcher only if the trial goes on. So
    `take` (Ray's trial id, result) is called here; it records the result and returns whether the
    trial goes on. Only the last result of a trial that ended itself goes to the searcher directly.
    """

    def __init__(self, take: Callable[[str, Mapping[str, Any]], bool]) -> None:
        super().__init__()
        self._take = take

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Return whether Ray should continue or stop the trial."""
        goes_on = self._take(trial.trial_id, result)
        return str(TrialScheduler.CONTINUE if goes_on else TrialScheduler.STOP)

"""What TPE reads of a study: all of a small one, the best and the newest of a large one."""

import bisect
import copy
from collections.abc import Container
from typing import Any

import optuna
from optuna.samplers._tpe.sampler import _split_trials
from optuna.trial import FrozenTrial, TrialState

BEST = 25  # TPE never takes more for its good ones, however many there are
NEWEST = 500  # of those that ended, and of those that run
LEARNED = (TrialState.COMPLETE, TrialState.PRUNED)


class Window(optuna.Study):
    """A study as its sampler sees it, so that a proposal's cost is bounded.

    Up to `newest` ended trials, and as many at work, it is the study itself. Beyond that the model
    of the good trials is the same, since TPE makes it from the best 25 of all; the model of the
    others is made from the newest alone. Which trials those are follows from what ended, not from
    when: a resumed search sees the same.
    """

    def __init__(self, study: optuna.Study, newest: int = NEWEST) -> None:
        super().__init__(study_name=study.study_name, storage=study._storage, sampler=study.sampler)
        self._newest = newest
        self._best: list[FrozenTrial] = []
        self._ended: list[FrozenTrial] = []  # the newest, by number
        self._seen: list[FrozenTrial] = []
        for trial in study.get_trials(deepcopy=False):
            self.take(trial)

    def take(self, trial: FrozenTrial) -> None:
        """A trial ended, or reached a rung (`at_rung`), which its end replaces; one that TPE does
        not learn from is left out.
        """
        for known in (self._best, self._ended):
            place = bisect.bisect_left(known, trial.number, key=_number)
            if place < len(known) and known[place].number == trial.number:
                del known[place]
        if trial.state not in LEARNED:
            return
        bisect.insort(self._best, trial, key=_number)
        self._best = _split_trials(self, self._best, BEST)[0]
        bisect.insort(self._ended, trial, key=_number)
        del self._ended[: -self._newest]

    def now(self) -> "Window":
        """The same window with the trials that are at work at this moment."""
        running = self._storage.get_all_trials(self._study_id, False, (TrialState.RUNNING,))
        chosen = {t.number: t for t in (*running[-self._newest :], *self._best, *self._ended)}
        self._seen = sorted(chosen.values(), key=_number)
        return self

    def _get_trials(
        self,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
        use_cache: bool = False,
    ) -> list[FrozenTrial]:
        """What `now` found; Optuna's samplers ask here, and its Hyperband filters here too."""
        return [trial for trial in self._seen if states is None or trial.state in states]


def at_rung(trial: FrozenTrial) -> FrozenTrial:
    """A trial at work as one that was pruned at its last epoch: TPE takes one without for bad."""
    found = copy.copy(trial)
    found.state = TrialState.PRUNED
    return found


def _number(trial: FrozenTrial) -> Any:
    return trial.number

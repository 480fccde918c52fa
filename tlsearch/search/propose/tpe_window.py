"""TPE, and the trials that it reads: all of a small study, the best and newest of a large one."""

import bisect
import copy
import warnings
from collections.abc import Container
from typing import Any

import optuna
from optuna.samplers._tpe.sampler import _split_trials
from optuna.trial import FrozenTrial, TrialState

START = 10  # trials that must have ended before TPE learns from them, Optuna's default
BEST = 25  # TPE never counts more trials as good, however many there are
NEWEST = 500  # ended trials, and as many running ones
LEARNED = (TrialState.COMPLETE, TrialState.PRUNED)


def tpe(seed: int, start: int = START) -> optuna.samplers.BaseSampler:
    """Return TPE over groups of parameters that occur together, because the learning rates are
    conditional. It draws uniformly until `start` trials have ended.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.TPESampler(
            seed=seed,
            n_startup_trials=start,
            multivariate=True,
            group=True,
            constant_liar=True,
        )


class Window(optuna.Study):
    """The part of a study that its sampler sees, so that the cost of a proposal is bounded.

    Up to `newest` ended trials, and as many running ones, it is the whole study. Beyond that, TPE's
    model of the good trials is unchanged, because it uses at most the best 25 of all. Its model of
    the other trials uses only the newest. The selection depends on which trials ended, not on when,
    so that a resumed search sees the same.
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
        """Add a trial that ended, or that is parked at a rung (`as_pruned`) until its end replaces
        it. A trial that TPE does not learn from is left out.
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

    def refresh(self) -> "Window":
        """Update the running trials, and return this window."""
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
        """The trials that `refresh` selected; Optuna's samplers and its Hyperband pruner read a
        study through this method.
        """
        return [trial for trial in self._seen if states is None or trial.state in states]


def as_pruned(trial: FrozenTrial) -> FrozenTrial:
    """Return a copy of a running trial as pruned at its last epoch: TPE rates running trials as
    bad.
    """
    found = copy.copy(trial)
    found.state = TrialState.PRUNED
    return found


def _number(trial: FrozenTrial) -> Any:
    return trial.number

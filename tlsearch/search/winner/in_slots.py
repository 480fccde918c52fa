"""Confirmation and refinement in the workers of the trials, where TensorFlow is already imported
and networks are built and compiled. To Ray each run is one more trial of a single step.
"""

import json
from collections import deque
from collections.abc import Callable, Generator
from typing import Any

from ray.tune.search import Searcher

from tlsearch.base.errors import TlsearchError
from tlsearch.results.rank.confirmation import Run
from tlsearch.search.ending import Ending
from tlsearch.search.propose.searcher import METRIC
from tlsearch.search.trial.actor import AGAIN, TRAINED
from tlsearch.search.trial.workplace import Workplace
from tlsearch.search.winner.confirm import Stage, train_handed_over
from tlsearch.search.winner.rounds import PlannedRun

Stages = Callable[[int], Generator[Stage, None, None]]  # the argument: how many runs fit at a time


def train_text(job: str, place: Workplace) -> str:
    """Train a planned run, given as text, and return the run as text; called in a trial's actor."""
    return json.dumps(train_handed_over(PlannedRun.of_text(job), place).to_json())


class FollowedSearch(Searcher):
    """A Ray Tune searcher that suggests the trials of a search and then the runs of `stages`.

    `stages` is called once no trial is left. `room` returns how many runs fit at a time. A run that
    fails, or whose worker is lost, is not trained again here: `complete` tells whether every run of
    every stage was recorded.
    """

    def __init__(
        self,
        trials: Searcher,
        stages: Stages,
        room: Callable[[], int],
        ending: Ending,
    ) -> None:
        super().__init__(metric=METRIC, mode=trials.mode)
        self._trials, self._begin, self._room, self._ending = trials, stages, room, ending
        self._stages: Generator[Stage, None, None] | None = None
        self._stage: Stage | None = None
        self._waiting: deque[PlannedRun] = deque()
        self._running: set[str] = set()
        self._failed = False
        self.complete = False

    def suggest(self, trial_id: str) -> Any:
        """Return the next trial, or the next run after all trials.

        Returns None if other runs must end first, FINISHED if none are left.
        """
        if self._stages is None:
            found = self._trials.suggest(trial_id)
            if found != Searcher.FINISHED:
                return found
            self._stages = self._begin(max(1, self._room()))
        if not self._waiting and not self._running and not self._next_stage():
            return Searcher.FINISHED
        if not self._waiting or len(self._running) >= max(1, self._room()):
            return None
        job = self._waiting.popleft()
        self._running.add(trial_id)
        return {"number": job.number, "trial": job.trial.to_json(), AGAIN: job.to_text()}

    def _next_stage(self) -> bool:
        """Begin the next stage; return False if there is none or the search has failed."""
        assert self._stages is not None, "the trials have ended"
        try:
            with self._ending.on_disk_error():
                self._stage = next(self._stages, None)
                if self._stage is None:
                    self.complete = not self._failed
                    return False
                self._waiting.extend(self._stage.jobs)
        except TlsearchError as error:
            self._ending.fail(error)
        return self._ending.error is None

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Pass on the end of a trial, or record the result of a run."""
        if trial_id not in self._running:
            self._trials.on_trial_complete(trial_id, result, error)
            return
        self._running.discard(trial_id)
        trained = (result or {}).get(TRAINED)
        if trained is None:
            self._failed = True
            return
        assert self._stage is not None, "the run is part of it"
        with self._ending.on_disk_error():
            self._stage.keep(Run(**json.loads(trained)))

    def close(self) -> None:
        """Close the stage in progress, if the search ended before it."""
        if self._stages is not None:
            self._stages.close()

    def save(self, checkpoint_path: str) -> None:
        """Do nothing: the journal is the record."""

    def restore(self, checkpoint_path: str) -> None:
        """Do nothing: the journal is the record."""

    def __getstate__(self) -> dict[str, object]:
        """Return nothing for Ray to pickle: the journal is the record."""
        return {}

"""What follows the trials, in the workers that trained them: TensorFlow is imported there, and
networks are built and compiled. To Ray each run is one more trial, of a single step.
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

Stages = Callable[[int], Generator[Stage, None, None]]  # of how many runs fit at a time


def train_text(job: str, place: Workplace) -> str:
    """What an actor calls: a planned run as text -> the run as text."""
    return json.dumps(train_handed_over(PlannedRun.of_text(job), place).to_json())


class FollowedSearch(Searcher):
    """The trials of a search, then the runs of `stages`, which begins once no trial is left.

    `room` is how many run at a time. A run that fails, or whose worker is lost, is not trained
    again here: `complete` says whether every run of every stage was kept.
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
        """The next trial, then the next run; None while others must end first; then FINISHED."""
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
        """Take up the next stage, if there is one."""
        assert self._stages is not None, "the trials have ended"
        try:
            with self._ending.on_full_disk():
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
        """The end of a trial, or of a run, which is kept."""
        if trial_id not in self._running:
            self._trials.on_trial_complete(trial_id, result, error)
            return
        self._running.discard(trial_id)
        told = (result or {}).get(TRAINED)
        if told is None:
            self._failed = True
            return
        assert self._stage is not None, "the run is part of it"
        with self._ending.on_full_disk():
            self._stage.keep(Run(**json.loads(told)))

    def close(self) -> None:
        """End the stage that is at work, where the search ended before it."""
        if self._stages is not None:
            self._stages.close()

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the journal is the record."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the journal is the record."""

    def __getstate__(self) -> dict[str, object]:
        """Nothing for Ray to pickle: the journal is the record."""
        return {}

"""A search as a Ray Tune run: trainable, resources, searcher, scheduler, Tuner."""

import contextlib
import logging
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune import (
    CheckpointConfig,
    FailureConfig,
    ProgressReporter,
    RunConfig,
    TuneConfig,
    Tuner,
)
from ray.tune.execution import tune_controller
from ray.tune.search import ConcurrencyLimiter

from tlsearch.base.errors import RecordError
from tlsearch.base.files import path_in_errors
from tlsearch.base.links import refuse_link
from tlsearch.results.live.events import BudgetSpent
from tlsearch.results.record.directory import StudyDirectory
from tlsearch.results.record.file_names import BEST, RESUME, trial_name
from tlsearch.results.record.journal import TrialRecord
from tlsearch.results.record.kept_files import epoch_of, require_recorded
from tlsearch.search.cluster.nodes import Watch
from tlsearch.search.ending import Ending
from tlsearch.search.ongoing import Search
from tlsearch.search.propose.prior import Sizes
from tlsearch.search.propose.searcher import Announce, TruthfulSearch
from tlsearch.search.stop.ray_scheduler import RungScheduler
from tlsearch.search.stopper import SearchStopper
from tlsearch.search.trial.actor import TrialActor
from tlsearch.search.trial.connected_workplace import connected_workplace
from tlsearch.search.winner.confirm import Stage
from tlsearch.search.winner.finish import drop_weights
from tlsearch.search.winner.in_slots import FollowedSearch, Stages, train_text

log = logging.getLogger(__name__)


def run_trials(search: Search, announce: Announce, then: Stages | None = None) -> bool:
    """Run the remaining trials of the study, then the stages of `then` in the same workers.

    As many trials as fit run in parallel, until none is left or the search's ending stops them.
    Returns whether all stages were completed. Everything worth keeping is in the journal and under
    `trials/` when this returns.
    """
    config, home, ending = search.config, search.home, search.ending
    watch = Watch(config.resources)
    sizes = Sizes(len(search.data.splits["train"]), len(search.data.classes))
    searcher = TruthfulSearch(
        config, home.journal_file, announce, search.listen, watch.excused, sizes
    )
    drop_unrecorded_states(home, searcher.record().trials)
    drop_weights(home, searcher.record())  # leftovers of a driver that was killed while deleting
    stopper = SearchStopper(ending, search.budget, searcher.note)
    limited = ElasticLimiter(searcher, watch.slots, ending)
    followed = FollowedSearch(limited, then or _nothing, watch.slots, ending)
    if searcher.remaining() > 0 and not _too_late(search, stopper):
        tune_config = TuneConfig(
            search_alg=followed,
            scheduler=RungScheduler(limited.take),
            num_samples=-1,  # Ray counts a retried or promoted trial again; the searcher ends it
            reuse_actors=True,
            trial_dirname_creator=_folder_name,
        )
        with path_in_errors(home.ray), workers_kept(), contextlib.closing(followed):
            Tuner(
                _trainable(search),
                tune_config=tune_config,
                run_config=_run_config(home, stopper),
            ).fit()
    stopper.note_spent()
    return followed.complete


def _nothing(room: int) -> Generator[Stage, None, None]:
    """No stage: no run follows the trials."""
    yield from ()


@contextlib.contextmanager
def workers_kept() -> Iterator[None]:
    """Make Ray Tune keep all idle workers as long as a search lasts.

    Ray Tune itself keeps only one, and a run after the trials would have to import TensorFlow
    again.
    """

    class Kept(tune_controller._ObjectCache):
        def cache_object(self, key: Any, obj: Any) -> bool:
            self._cached_objects[key].append(obj)
            self._num_cached_objects += 1
            return True

        def flush_cached_objects(self, force_all: bool = False) -> Iterator[Any]:
            return super().flush_cached_objects(force_all) if force_all else iter(())

    before = tune_controller._ObjectCache
    tune_controller._ObjectCache = Kept
    try:
        yield
    finally:
        tune_controller._ObjectCache = before


class ElasticLimiter(ConcurrencyLimiter):
    """A limit on parallel trials that follows the cluster as it grows and shrinks.

    The limit is the room in the cluster at the time when Ray requests the next trial. Ray's own
    limit is fixed at the start of a search, so a node that joins later would get no trial. The
    limit is at least one, because otherwise a search that lost all its nodes would request nothing.
    A journal that cannot be written ends the search with that error, which Ray would hide in a
    traceback.
    """

    def __init__(self, trials: TruthfulSearch, room: Callable[[], int], ending: Ending) -> None:
        super().__init__(trials, max_concurrent=max(1, room()))
        self._trials = trials
        self._room = room
        self._ending = ending

    def suggest(self, trial_id: str) -> Any:
        """Return the searcher's next configuration, None while there is no room for another."""
        self.max_concurrent = max(1, self._room())
        with self._ending.on_disk_error():
            return super().suggest(trial_id)
        return None

    def take(self, trial_id: str, result: Mapping[str, object]) -> bool:
        """Pass the result of an epoch to the searcher; return whether the trial goes on."""
        with self._ending.on_disk_error():
            return self._trials.take(trial_id, result)
        return True

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Pass the end of a trial to the searcher."""
        with self._ending.on_disk_error():
            super().on_trial_complete(trial_id, result, error)

    def __getstate__(self) -> dict[str, object]:
        """Give Ray nothing to pickle: the journal is the record."""
        return {}


class _NoReporter(ProgressReporter):
    """A reporter without output: in a notebook, Ray's own clears the output of the cell, whatever
    its verbosity.
    """

    def should_report(self, trials: Any, done: bool = False) -> bool:
        """Return False: the listeners of the search report its progress."""
        return False


def _run_config(home: StudyDirectory, stopper: SearchStopper) -> RunConfig:
    """A quiet run without Ray's checkpoints and retries, since the searcher retries lost trials."""
    return RunConfig(
        name="trials",
        storage_path=str(home.ray),
        stop=stopper,
        verbose=0,
        progress_reporter=_NoReporter(),
        failure_config=FailureConfig(max_failures=0),
        checkpoint_config=CheckpointConfig(checkpoint_at_end=False),
    )


def drop_unrecorded_states(home: StudyDirectory, trials: Iterable[TrialRecord]) -> None:
    """Delete resume states that do not agree with the journal, so that their trials start over.

    A state is deleted if its epoch is later than the last one in the journal, whose last lines may
    have been lost: the epochs in between would never be recorded. It is also deleted if the best
    weights beside it are not the recorded ones: they would be kept as the trial's best.
    """
    for trial in trials:
        folder = home.trial(trial.number)
        saved = folder / RESUME
        refuse_link(saved)
        if not saved.is_file():
            continue
        epoch = epoch_of(saved)  # None if damaged, which the trial's actor handles
        if epoch is not None and epoch > max(trial.values, default=-1):
            saved.unlink()
        elif (problem := _other_weights(folder / BEST, trial)) is not None:
            log.warning("%s: the trial starts over", problem)
            saved.unlink()


def _other_weights(best: Path, trial: TrialRecord) -> str | None:
    """The problem with a trial's best weights, if any. Weights of an epoch that the journal does
    not hold are no problem: they are written again when the trial reaches that epoch.
    """
    try:
        require_recorded(best, trial.number, trial.kept.get(BEST))
    except FileNotFoundError:
        return f"{best}: recorded, but missing"
    except RecordError as error:
        return str(error) if epoch_of(best) in (None, *trial.values) else None
    return None


def _too_late(search: Search, stopper: SearchStopper) -> bool:
    """Whether the search is over before it begins, as when earlier drivers used up its budget."""
    over, budget_s = stopper.stop_all(), search.config.time_budget
    if budget_s is not None and search.ending.out_of_time:
        search.listen(BudgetSpent(budget_s, search.budget.spent_s))
    return over


def _trainable(search: Search) -> type[tune.Trainable]:
    config = search.config
    resources = {"cpu": config.resources.cpus_per_trial, "gpu": config.resources.gpus_per_trial}
    place = connected_workplace(search)
    trainable = tune.with_parameters(TrialActor, workplace=place, again=train_text)
    bound: type[tune.Trainable] = tune.with_resources(trainable, resources)
    return bound


def _folder_name(trial: Any) -> str:
    """The name of Ray's folder for a trial, from its number: names made from parameters are invalid
    on some file systems.
    """
    return f"{trial_name(trial.config['number'])}-{trial.trial_id}"

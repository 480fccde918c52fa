"""The Ray Tune side of a search: trainable, resources, searcher, scheduler, Tuner."""

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
from tlsearch.base.files import naming
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
    """Run the trials that the study still owes, as many at a time as fit, until the search's ending
    says stop; `then` what follows, in the same workers. Whether all that follows was done.

    Everything worth keeping is in the journal and under `trials/` when this returns.
    """
    config, home, ending = search.config, search.home, search.ending
    watch = Watch(config.resources)
    sizes = Sizes(len(search.data.splits["train"]), len(search.data.classes))
    searcher = TruthfulSearch(
        config, home.journal_file, announce, search.listen, watch.excused, sizes
    )
    forget_unrecorded(home, searcher.record().trials)
    drop_weights(home, searcher.record())  # what a driver killed between two files left behind
    stopper = SearchStopper(ending, search.budget, searcher.note)
    limited = ElasticLimiter(searcher, watch.room, ending)
    followed = FollowedSearch(limited, then or _nothing, watch.room, ending)
    if searcher.remaining() > 0 and not _too_late(search, stopper):
        tune_config = TuneConfig(
            search_alg=followed,
            scheduler=RungScheduler(limited.take),
            num_samples=-1,  # a retried or promoted trial is one more to Ray; the searcher ends
            reuse_actors=True,
            trial_dirname_creator=_folder_name,
        )
        with naming(home.ray), workers_kept(), contextlib.closing(followed):
            Tuner(
                _trainable(search),
                tune_config=tune_config,
                run_config=_run_config(home, stopper),
            ).fit()
    stopper.note_spent()
    return followed.complete


def _nothing(room: int) -> Generator[Stage, None, None]:
    """No run follows the trials."""
    yield from ()


@contextlib.contextmanager
def workers_kept() -> Iterator[None]:
    """Have Ray Tune keep the workers that wait for a trial as long as a search lasts. It keeps one,
    and a run that follows the trials would import TensorFlow anew.
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
    """Ray's limit on trials at a time, which follows the cluster as it grows and shrinks.

    As many trials at a time as there is room for when the next one is asked for.

    Stock Ray's limit is the one that a search began with: a node that joins later gets no trial.
    At least one is let through, or else a search whose nodes are all gone would ask for nothing.
    A journal that cannot be written ends the search: Ray would hide why in a traceback.
    """

    def __init__(self, trials: TruthfulSearch, room: Callable[[], int], ending: Ending) -> None:
        super().__init__(trials, max_concurrent=max(1, room()))
        self._trials = trials
        self._room = room
        self._ending = ending

    def suggest(self, trial_id: str) -> Any:
        """The searcher's next configuration, None while there is no room for another."""
        self.max_concurrent = max(1, self._room())
        with self._ending.on_full_disk():
            return super().suggest(trial_id)
        return None

    def take(self, trial_id: str, result: Mapping[str, object]) -> bool:
        """The result of an epoch, for the searcher; whether the trial goes on."""
        with self._ending.on_full_disk():
            return self._trials.take(trial_id, result)
        return True

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """The end of a trial, for the searcher."""
        with self._ending.on_full_disk():
            super().on_trial_complete(trial_id, result, error)

    def __getstate__(self) -> dict[str, object]:
        """Nothing for Ray to pickle: the journal is the record."""
        return {}


class _NoReporter(ProgressReporter):
    """In a notebook Ray's own clears what the cell has printed, whatever its verbosity."""

    def should_report(self, trials: Any, done: bool = False) -> bool:
        """Never: the listeners of the search are told."""
        return False


def _run_config(home: StudyDirectory, stopper: SearchStopper) -> RunConfig:
    """Quiet, without checkpoints of Ray's own, and without its retries: the searcher has better."""
    return RunConfig(
        name="trials",
        storage_path=str(home.ray),
        stop=stopper,
        verbose=0,
        progress_reporter=_NoReporter(),
        failure_config=FailureConfig(max_failures=0),
        checkpoint_config=CheckpointConfig(checkpoint_at_end=False),
    )


def forget_unrecorded(home: StudyDirectory, trials: Iterable[TrialRecord]) -> None:
    """Drop resume states that the journal does not bear out, so that their trials start over.

    Those of epochs that it does not know, as where its tail was lost: the epochs in between would
    be missing from the record for ever. And those beside other weights than it recorded: these
    would be kept as the trial's best.
    """
    for trial in trials:
        folder = home.trial(trial.number)
        saved = folder / RESUME
        refuse_link(saved)
        if not saved.is_file():
            continue
        epoch = epoch_of(saved)  # None: damaged, which its actor sees to
        if epoch is not None and epoch > max(trial.values, default=-1):
            saved.unlink()
        elif (problem := _other_weights(folder / BEST, trial)) is not None:
            log.warning("%s: the trial starts over", problem)
            saved.unlink()


def _other_weights(best: Path, trial: TrialRecord) -> str | None:
    """What is wrong with a trial's best weights; those of an epoch that the journal has not heard
    of are written once more when the trial comes to it.
    """
    try:
        require_recorded(best, trial.number, trial.kept.get(BEST))
    except FileNotFoundError:
        return f"{best}: recorded, and not there"
    except RecordError as error:
        return str(error) if epoch_of(best) in (None, *trial.values) else None
    return None


def _too_late(search: Search, stopper: SearchStopper) -> bool:
    """Whether the search is over before it begins, its budget used up by the drivers before."""
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
    """Ray's folder of a trial, by its number: parameters make names that some systems refuse."""
    return f"{trial_name(trial.config['number'])}-{trial.trial_id}"

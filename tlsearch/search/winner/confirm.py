"""Confirmation and refinement: train the best trials again in full on fresh seeds, then train the
winner further.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tlsearch.base.digests import sha256
from tlsearch.base.phases import Counter, phase
from tlsearch.config.networks.lookup import row_of
from tlsearch.config.trial_config import TrialConfig
from tlsearch.features import FOLDER, weights_key
from tlsearch.results.live.events import ConfirmationRunEnded, Confirming
from tlsearch.results.live.progress import of_trial
from tlsearch.results.rank.confirmation import (
    FRESH_SHARE,
    NOT_REFINED,
    RUNS,
    Run,
    run_to_export,
    runs_of,
)
from tlsearch.results.record.kept_files import require_recorded
from tlsearch.search.cluster.ray_session import as_completed
from tlsearch.search.cluster.trial_transfer import trial_folder
from tlsearch.search.ongoing import Search
from tlsearch.search.trial.workplace import Workplace
from tlsearch.search.winner.rounds import (
    PlannedRun,
    due_runs,
    left_s,
    online_epoch_s,
    refinement,
    share_s,
)
from tlsearch.store.entries import entries

if TYPE_CHECKING:
    from tlsearch.training.checkpoint import Checkpoint


@dataclass(frozen=True)
class Stage:
    """Runs that may be trained at the same time, and the callback that records each result."""

    jobs: Sequence[PlannedRun]
    keep: Callable[[Run], None]


def confirmation_stages(search: Search, room: int) -> Generator[Stage, None, None]:
    """Yield the runs that confirm the best trials, then the run that refines the winner, as far as
    the time allows; `room` of them are trained at a time.

    The caller asks for a stage once all runs of the previous one are recorded. Runs that are
    already recorded are left out. Each run is written to the journal when it is kept.
    """
    wanted = due_runs(search.config, search.record(), search.budget.spent_s, room)
    if wanted:
        search.listen(Confirming(len({job.number for job in wanted}), len(wanted)))
        with phase("confirming", len(wanted), "runs") as counter:
            yield Stage(wanted, partial(_keep, search, counter))
    job = _planned_refinement(search)
    if job is not None:
        with phase("refining", 1, "run") as counter:
            yield Stage([job], partial(_keep, search, counter))


def confirm(search: Search, place: Workplace, room: int) -> None:
    """Train all stages in separate Ray workers, `room` runs at a time."""
    for stage in confirmation_stages(search, room):
        for run in _train_runs(stage.jobs, search, place, room):
            stage.keep(run)


def _keep(search: Search, counter: Counter, run: Run) -> None:
    known = runs_of(search.record().facts)
    search.note({RUNS: [one.to_json() for one in (*known, run)], **search.budget.facts})
    search.listen(ConfirmationRunEnded(run.trial, run.seed, run.value, run.refined))
    counter.advance()


def _train_runs(
    wanted: Sequence[PlannedRun], search: Search, place: Workplace, room: int
) -> Iterator[Run]:
    """Yield runs as they end; running ones are cancelled if the user stops the search or the
    study's time is up.
    """

    def late() -> bool:
        return search.budget.used_up or search.ending.cut_short

    calls = [(job, place) for job in wanted]
    yield from as_completed(train_handed_over, calls, search.config.resources, room, late)


def _planned_refinement(search: Search) -> PlannedRun | None:
    """Return the run that refines the winner, or None.

    It trains the winner's best run further, with a new augmented view per epoch. It is None if
    nothing was confirmed, if the study does not augment, if the winner was refined already, if the
    search was cut short, or if not even one epoch fits into the time left. Raises RecordError if
    the best run's weights are not the recorded ones.
    """
    config, record = search.config, search.record()
    runs = runs_of(record.facts)
    best = run_to_export(runs, config.direction)
    if best is None or search.ending.cut_short or config.augment.is_off:
        return None
    if any(run.refined and run.trial == best.trial for run in runs):
        return None
    limit_s = min(share_s(record, 1 - FRESH_SHARE), left_s(config, search.budget.spent_s, slots=1))
    train, validation = (len(search.data.splits[split]) for split in ("train", "validation"))
    won = record.trials[best.trial]
    image_s = pass_s(config.cache_path, TrialConfig(**won.config), won.network)
    epoch_s = online_epoch_s(record, won, train, validation, image_s)
    if epoch_s > limit_s:
        reason = (
            f"one epoch would take about {epoch_s:.1f} s, and {max(0.0, limit_s):.1f} s are left"
        )
        search.note({NOT_REFINED: reason})
        return None
    weights = search.home.trial(best.trial) / best.weights
    if weights.is_file():  # else the run that starts from them raises the error
        require_recorded(weights, best.trial, best.sha256)
    return PlannedRun(
        best.trial,
        refinement(TrialConfig(**won.config), best.seed, int(limit_s / epoch_s)),
        start=weights,
        limit_s=limit_s,
        network=won.network,
    )


def pass_s(cache: Path, trial: TrialConfig, network: str | None) -> float | None:
    """Return the seconds per image of an augmented view in past passes of a trial's frozen network.

    The times are noted beside the features in the cache. Returns None if no features there are of
    this network and an augmented view.
    """
    weights = weights_key(row_of(trial.backbone).build, network)
    wanted = {"weights": weights, "image_px": trial.image_px}
    known = [entry.about for entry in entries(cache / FOLDER) if entry.about is not None]
    passes = [about for about in known if wanted.items() <= about.what.items()]
    augmented = [about for about in passes if about.what.get("view")]
    rows = sum(about.shape[0] for about in augmented)
    return sum(about.seconds for about in augmented) / rows if rows else None


def train_handed_over(job: PlannedRun, place: Workplace) -> Run:
    """Train a run on any node; at its end its files are in the driver's study directory."""
    with trial_folder(place.study, job.number, place.handover) as folder:
        start = job.start and folder.path / job.start.name
        folder.fetch(*([] if start is None else [start.name]))
        return train_again(replace(job, start=start), place, folder.path)


def train_again(job: PlannedRun, place: Workplace, folder: Path) -> Run:
    """Train a run in this process and keep the weights of its best epoch.

    The result has no value if training diverged before any epoch that counts. A run with a time
    limit ends once another epoch as long as the last would exceed the limit.
    """
    from tlsearch.training.checkpoint import load_checkpoint

    start = None
    if job.start is not None:
        start = replace(load_checkpoint(job.start), trial=job.trial, epoch=0)
    name, what = ("refining" if job.refines else "confirming"), of_trial(job.number)
    subject = f"{what} on seed {job.trial.seed}"
    with phase(name, job.trial.epochs, "epochs", subject) as counter:
        return _best_of(job, place, folder, start, counter)


def _best_of(
    job: PlannedRun,
    place: Workplace,
    folder: Path,
    start: "Checkpoint | None",
    counter: Counter,
) -> Run:
    """Train a run and return its best epoch, whose weights are saved; `counter` counts epochs."""
    best, seconds = Run(job.number, job.trial.seed, None, 0, 0.0, job.refines), 0.0
    for report in place.train(job.trial, start, job.network):
        counter.reach(report.epoch)
        seconds += report.seconds
        if report.diverged:
            break
        if job.trial.ranks(report.epoch) and place.better(report.value, best.value):
            weights = folder / best.weights
            report.snapshot().save(weights, weights_only=True)
            found = sha256(weights)
            best = replace(best, value=report.value, epoch=report.epoch, sha256=found)
        if job.limit_s is not None and seconds + report.seconds > job.limit_s:
            break
    return replace(best, seconds=round(seconds, 2))

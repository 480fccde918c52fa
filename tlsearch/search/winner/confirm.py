"""The winner confirmed: the best trials trained again, whole, on fresh seeds; then refined."""

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
from tlsearch.results.live.events import ConfirmedOnce, Confirming
from tlsearch.results.live.progress import of_trial
from tlsearch.results.rank.confirmation import (
    FRESH_SHARE,
    NOT_REFINED,
    RUNS,
    Run,
    chosen,
    runs_of,
)
from tlsearch.results.record.kept_files import require_recorded
from tlsearch.search.cluster.ray_session import as_completed
from tlsearch.search.cluster.trial_transfer import trial_folder
from tlsearch.search.ongoing import Search
from tlsearch.search.trial.workplace import Workplace
from tlsearch.search.winner.rounds import (
    PlannedRun,
    due,
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
    """Runs that may be trained at the same time, and who takes each as it ends."""

    jobs: Sequence[PlannedRun]
    keep: Callable[[Run], None]


def stages(search: Search, room: int) -> Generator[Stage, None, None]:
    """The runs that confirm the best trials, then the run that refines the winner, as far as the
    time allows; `room` of them are trained at a time.

    A stage is asked for once the runs of the one before are kept. Runs that any driver kept before
    are in no stage. Each run is noted as it is kept.
    """
    wanted = due(search.config, search.record(), search.budget.spent_s, room)
    if wanted:
        search.listen(Confirming(len({job.number for job in wanted}), len(wanted)))
        with phase("confirming", len(wanted), "runs") as counter:
            yield Stage(wanted, partial(_keep, search, counter))
    job = _refining(search)
    if job is not None:
        with phase("refining", 1, "run") as counter:
            yield Stage([job], partial(_keep, search, counter))


def confirm(search: Search, place: Workplace, room: int) -> None:
    """Train all stages in workers of their own, `room` runs at a time."""
    for stage in stages(search, room):
        for run in _trained(stage.jobs, search, place, room):
            stage.keep(run)


def _keep(search: Search, counter: Counter, run: Run) -> None:
    known = runs_of(search.record().facts)
    search.note({RUNS: [one.to_json() for one in (*known, run)], **search.budget.facts})
    search.listen(ConfirmedOnce(run.trial, run.seed, run.value, run.refined))
    counter.advance()


def _trained(
    wanted: Sequence[PlannedRun], search: Search, place: Workplace, room: int
) -> Iterator[Run]:
    """Runs as they end; none is waited for once the user stops or the study's time is up."""

    def late() -> bool:
        return search.budget.used_up or search.ending.cut_short

    calls = [(job, place) for job in wanted]
    yield from as_completed(train_handed_over, calls, search.config.resources, room, late)


def _refining(search: Search) -> PlannedRun | None:
    """The best run of the winner trained on with an online view per epoch, if the study augments,
    that was not done, and at least one epoch fits into the time for it. RecordError where the
    run's weights are not those that were recorded.
    """
    config, record = search.config, search.record()
    runs = runs_of(record.facts)
    best = chosen(runs, config.direction)
    if best is None or search.ending.cut_short or config.augment.nothing:
        return None
    if any(run.refined and run.trial == best.trial for run in runs):
        return None
    limit_s = min(share_s(record, 1 - FRESH_SHARE), left_s(config, search.budget.spent_s, slots=1))
    train, validation = (len(search.data.splits[split]) for split in ("train", "validation"))
    won = record.trials[best.trial]
    image_s = pass_s(config.cache_path, TrialConfig(**won.config), won.network)
    epoch_s = online_epoch_s(record, won, train, validation, image_s)
    if epoch_s > limit_s:
        told = f"one epoch would take about {epoch_s:.1f} s, and {max(0.0, limit_s):.1f} s are left"
        search.note({NOT_REFINED: told})
        return None
    weights = search.home.trial(best.trial) / best.weights
    if weights.is_file():  # else the run that begins from them says so
        require_recorded(weights, best.trial, best.sha256)
    return PlannedRun(
        best.trial,
        refinement(TrialConfig(**won.config), best.seed, int(limit_s / epoch_s)),
        start=weights,
        limit_s=limit_s,
        network=won.network,
    )


def pass_s(cache: Path, trial: TrialConfig, network: str | None) -> float | None:
    """Seconds that one image of an augmented view took in passes of a trial's frozen network, as
    the features in the cache say; None where none are of it.
    """
    weights = weights_key(row_of(trial.backbone).build, network)
    wanted = {"weights": weights, "image_px": trial.image_px}
    told = [entry.about for entry in entries(cache / FOLDER) if entry.about is not None]
    passes = [about for about in told if wanted.items() <= about.what.items()]
    augmented = [about for about in passes if about.what.get("view")]
    rows = sum(about.shape[0] for about in augmented)
    return sum(about.seconds for about in augmented) / rows if rows else None


def train_handed_over(job: PlannedRun, place: Workplace) -> Run:
    """Train a job on any node, with its files in the driver's study directory at the end."""
    with trial_folder(place.study, job.number, place.handover) as folder:
        start = job.start and folder.path / job.start.name
        folder.fetch(*([] if start is None else [start.name]))
        return train_again(replace(job, start=start), place, folder.path)


def train_again(job: PlannedRun, place: Workplace, folder: Path) -> Run:
    """Train a job in this process and keep its best weights; without a value where it diverged.

    With a limit it ends after the epoch that another one like it would exceed the limit with.
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
    """The best epoch of a job, its weights kept; the counter counts epochs."""
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

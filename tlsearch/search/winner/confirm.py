"""The winner confirmed: the best trials trained again, whole, on fresh seeds; then refined."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tlsearch.config.schema import SearchConfig
from tlsearch.config.trial_config import TrialConfig, rate_name
from tlsearch.results.live.events import ConfirmedOnce, Confirming, Listen
from tlsearch.results.rank.confirmation import (
    FRESH_SHARE,
    NOT_REFINED,
    RUNS,
    SHARE,
    Run,
    chosen,
    runs_of,
)
from tlsearch.results.rank.standings import ranked
from tlsearch.results.record.directory import StudyDirectory
from tlsearch.results.record.journal import StudyRecord, TrialRecord, note, read
from tlsearch.search.cluster.ray_session import as_completed
from tlsearch.search.cluster.trial_transfer import trial_folder
from tlsearch.search.ending import Ending
from tlsearch.search.propose.optuna_space import replica_seed
from tlsearch.search.trial.workplace import Workplace

SEEDS = 2
FRESH = 1000  # replicates of a small space take the first seeds that follow the study's
REFINED_RATE = 0.1  # of the trial's own learning rate


@dataclass(frozen=True)
class PlannedRun:
    """A run to train: its configuration, what it begins from, and its seconds at most.

    `network` is the digest of the pretrained network that its trial had, where it is known.
    """

    number: int
    trial: TrialConfig
    expected_s: float = 0.0
    start: Path | None = None
    limit_s: float | None = None
    network: str | None = None

    @property
    def refines(self) -> bool:
        """Whether it trains on from a confirmed run's weights."""
        return self.start is not None


def confirm(
    config: SearchConfig,
    home: StudyDirectory,
    place: Workplace,
    slots: int,
    ending: Ending,
    listen: Listen,
) -> None:
    """Confirm the best trials and refine the winner, as far as the time allows; each run is noted
    as it ends, and those that were noted are not trained again.
    """
    wanted = due(config, read(home.journal_file), ending.spent_s, slots)
    if wanted:
        listen(Confirming(len({job.number for job in wanted}), len(wanted)))
    keep = _keeper(home, ending, listen)
    for run in _trained(wanted, config, place, slots, ending):
        keep(run)
    _refine(config, home, place, ending, keep)


def due(config: SearchConfig, record: StudyRecord, spent_s: float, slots: int) -> list[PlannedRun]:
    """The runs that are still to be trained, in whole rounds: a round is one seed for every
    candidate, so that candidates are compared on the same seeds.

    The first round is due whatever it takes. Another one is due where all rounds so far fit into a
    share of what the trials took. A time budget may cut the first round to its best candidates.
    """
    left_s = _left_s(config, spent_s, slots)
    if left_s <= 0:
        return []
    first, *more = rounds(config, record)
    taken = within(first, left_s, at_least=0 if runs_of(record.facts) else 1)
    used_s = done_s(config, record) + _expected_s(first)
    for another in more if len(taken) == len(first) else ():
        used_s += _expected_s(another)
        if used_s > share_s(record, FRESH_SHARE) or _expected_s([*taken, *another]) > left_s:
            break
        taken += another
    return taken


def rounds(config: SearchConfig, record: StudyRecord) -> list[list[PlannedRun]]:
    """Per fresh seed, the candidates that have not been trained on it, best first."""
    done = {(run.trial, run.seed) for run in runs_of(record.facts) if not run.refined}
    top = _distinct(ranked(record))[: config.confirm]
    return [
        [
            PlannedRun(
                trial.number,
                _with_seed(trial, seed),
                _whole_s(trial, record, config.epochs),
                network=trial.network,
            )
            for trial in top
            if (trial.number, seed) not in done
        ]
        for seed in fresh_seeds(config.seed)
    ]


def share_s(record: StudyRecord, part: float) -> float:
    """A part of the seconds of slots that confirming may take beyond its first round."""
    return SHARE * part * sum(trial.seconds for trial in record.trials)


def done_s(config: SearchConfig, record: StudyRecord) -> float:
    """What the confirmed runs were expected to take: the same share fits the same runs, whether one
    driver trained them or several.
    """
    runs = (run for run in runs_of(record.facts) if not run.refined)
    return sum(_whole_s(record.trials[run.trial], record, config.epochs) for run in runs)


def _left_s(config: SearchConfig, spent_s: float, slots: int) -> float:
    """Seconds of slots that the study's budget leaves; infinite without a budget."""
    return math.inf if config.time_budget is None else (config.time_budget - spent_s) * slots


def _expected_s(runs: Iterable[PlannedRun]) -> float:
    return sum(run.expected_s for run in runs)


def _distinct(order: Sequence[TrialRecord]) -> list[TrialRecord]:
    """The best trial of each configuration: a replica differs in its seed alone."""
    first: dict[str, TrialRecord] = {}
    for trial in order:
        first.setdefault(_with_seed(trial, 0).digest, trial)
    return list(first.values())


def fresh_seeds(seed: int) -> list[int]:
    """Seeds that no trial of the study has."""
    return [replica_seed(seed, FRESH + number) for number in range(SEEDS)]


def within(wanted: Sequence[PlannedRun], allowed_s: float, at_least: int) -> list[PlannedRun]:
    """The first runs that fit into the time, by what their trials took; `at_least` as many."""
    taken: list[PlannedRun] = []
    used_s = 0.0
    for job in wanted:
        used_s += job.expected_s
        if len(taken) >= at_least and used_s > allowed_s:
            break
        taken.append(job)
    return taken


def _with_seed(trial: TrialRecord, seed: int) -> TrialConfig:
    return TrialConfig(**trial.config).model_copy(update={"seed": seed})


def _whole_s(trial: TrialRecord, record: StudyRecord, epochs: int) -> float:
    """Seconds that this trial takes when it is trained to its last epoch. One that was cut short
    has not said what it took, and counts as the others do.
    """
    told = [trial] if trial.seconds else [other for other in record.trials if other.seconds]
    an_epoch_s = sum(t.seconds for t in told) / max(1, sum(t.epochs + 1 for t in told))
    return an_epoch_s * (epochs + 1)


def _keeper(home: StudyDirectory, ending: Ending, listen: Listen) -> Callable[[Run], None]:
    def keep(run: Run) -> None:
        known = runs_of(read(home.journal_file).facts)
        note(home.journal_file, {RUNS: [one.to_json() for one in (*known, run)]})
        ending.note_spent()
        listen(ConfirmedOnce(run.trial, run.seed, run.value, run.refined))

    return keep


def _trained(
    wanted: Sequence[PlannedRun],
    config: SearchConfig,
    place: Workplace,
    slots: int,
    ending: Ending,
) -> Iterator[Run]:
    """Runs as they end; none is waited for once the user stops or the study's time is up."""

    def stop() -> bool:
        late = config.time_budget is not None and ending.spent_s >= config.time_budget
        return late or ending.cut_short

    calls = [(job, place) for job in wanted]
    yield from as_completed(train_handed_over, calls, config.resources, slots, stop)


def _refine(
    config: SearchConfig,
    home: StudyDirectory,
    place: Workplace,
    ending: Ending,
    keep: Callable[[Run], None],
) -> None:
    """Train the best run of the winner on with an online view per epoch, if the study augments,
    that was not done, and at least one epoch fits into the time for it.
    """
    record = read(home.journal_file)
    runs = runs_of(record.facts)
    best = chosen(runs, config.direction)
    if best is None or ending.cut_short or config.augment.nothing:
        return
    if any(run.refined and run.trial == best.trial for run in runs):
        return
    limit_s = min(share_s(record, 1 - FRESH_SHARE), _left_s(config, ending.spent_s, slots=1))
    train, validation = (len(place.data.splits[split]) for split in ("train", "validation"))
    epoch_s = online_epoch_s(record, record.trials[best.trial], train, validation)
    if epoch_s > limit_s:
        told = f"one epoch would take about {epoch_s:.1f} s, and {max(0.0, limit_s):.1f} s are left"
        note(home.journal_file, {NOT_REFINED: told})
        return
    won = record.trials[best.trial]
    job = PlannedRun(
        best.trial,
        refinement(TrialConfig(**won.config), best.seed, int(limit_s / epoch_s)),
        start=home.trial(best.trial) / best.weights,
        limit_s=limit_s,
        network=won.network,
    )
    for run in _trained([job], config, place, 1, ending):
        keep(run)


def online_epoch_s(record: StudyRecord, trial: TrialRecord, train: int, validation: int) -> float:
    """What an epoch of a trial is expected to take where each needs a pass of the frozen part over
    the `train` images: the trial's own epoch, and the pass at the best speed that a trial reached.
    """
    own_s = trial.seconds / max(1, trial.epochs + 1)
    speeds = [t.work["done"] / t.seconds for t in record.trials if t.work and t.seconds]
    if trial.work is None or not any(speeds):
        return own_s
    config = TrialConfig(**trial.config)
    views = len({config.view(epoch) for epoch in range(1, trial.epochs + 1)})
    image = float(trial.work["prefix_pass"]) / max(1, train * views + validation)
    return float(own_s + train * image / max(speeds))


def refinement(trial: TrialConfig, seed: int, most_epochs: int) -> TrialConfig:
    """The same trial for half as many epochs, at a tenth of its rate, every epoch a new view."""
    return trial.model_copy(
        update={
            "seed": seed,
            "views": 0,
            "view_seed": seed,  # not the views that the trials of the study have seen
            "epochs": max(1, min(trial.epochs // 2, most_epochs)),
            rate_name(trial.unfrozen_layers): trial.learning_rate * REFINED_RATE,
        }
    )


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
    best, seconds = Run(job.number, job.trial.seed, None, 0, 0.0, job.refines), 0.0
    for report in place.train(job.trial, start, job.network):
        seconds += report.seconds
        if report.diverged:
            break
        if job.trial.ranks(report.epoch) and place.better(report.value, best.value):
            best = replace(best, value=report.value, epoch=report.epoch)
            report.snapshot().save(folder / best.weights, weights_only=True)
        if job.limit_s is not None and seconds + report.seconds > job.limit_s:
            break
    return replace(best, seconds=round(seconds, 2))

"""The winner confirmed: the best trials trained again, whole, on fresh seeds; then refined."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tlsearch.config.augmentation import Augment
from tlsearch.config.catalog import AUGMENTATIONS
from tlsearch.config.schema import SearchConfig
from tlsearch.config.trial_config import TrialConfig, rate_name
from tlsearch.results.live.events import ConfirmedOnce, Confirming, Listen
from tlsearch.results.rank.confirmation import FRESH_SHARE, RUNS, SHARE, Run, chosen, runs_of
from tlsearch.results.rank.leaderboard import ranked
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
    record = read(home.journal_file)
    allowed_s = allowance(config, record, ending.spent_s, slots, gone(config, record))
    wanted = within(jobs(config, record), allowed_s, at_least=owed(config, record, ending.spent_s))
    if wanted:
        listen(Confirming(len({job.number for job in wanted}), len(wanted)))
    keep = _keeper(home, ending, listen)
    for run in _trained(wanted, config, place, slots, ending):
        keep(run)
    _refine(config, home, place, ending, keep)


def allowance(
    config: SearchConfig, record: StudyRecord, spent_s: float, slots: int, gone_s: float = 0.0
) -> float:
    """Seconds of slots that fresh seeds may take: a share of what the trials took, less `gone_s`
    that were taken before, within the study's budget; half as much is left to refine the winner.
    """
    share = SHARE * FRESH_SHARE * sum(trial.seconds for trial in record.trials)
    share = max(0.0, share - gone_s)
    if config.time_budget is None:
        return share
    return max(0.0, min(share, (config.time_budget - spent_s) * slots))


def gone(config: SearchConfig, record: StudyRecord) -> float:
    """What the confirmed runs were expected to take: the same share fits the same runs, whether one
    driver trained them or several.
    """
    runs = (run for run in runs_of(record.facts) if not run.refined)
    return sum(_whole_s(record.trials[run.trial], record, config.epochs) for run in runs)


def jobs(config: SearchConfig, record: StudyRecord) -> list[PlannedRun]:
    """What is still to be trained: the top trials on each fresh seed, seed after seed."""
    done = {(run.trial, run.seed) for run in runs_of(record.facts) if not run.refined}
    top = _distinct(ranked(record))[: config.confirm]
    return [
        PlannedRun(
            trial.number,
            _with_seed(trial, seed),
            _whole_s(trial, record, config.epochs),
            network=trial.network,
        )
        for seed in fresh_seeds(config.seed)
        for trial in top
        if (trial.number, seed) not in done
    ]


def _distinct(order: Sequence[TrialRecord]) -> list[TrialRecord]:
    """The best trial of each configuration: a replica differs in its seed alone."""
    first: dict[str, TrialRecord] = {}
    for trial in order:
        first.setdefault(_with_seed(trial, 0).digest, trial)
    return list(first.values())


def fresh_seeds(seed: int) -> list[int]:
    """Seeds that no trial of the study has."""
    return [replica_seed(seed, FRESH + number) for number in range(SEEDS)]


def owed(config: SearchConfig, record: StudyRecord, spent_s: float) -> int:
    """How many runs there must be, whatever they take: one, until the best trial has one, unless
    the study's own time is up.
    """
    if config.time_budget is not None and spent_s >= config.time_budget:
        return 0
    confirmed = {run.trial for run in runs_of(record.facts)}
    return 0 if any(trial.number in confirmed for trial in ranked(record)[:1]) else 1


def within(wanted: Sequence[PlannedRun], allowed_s: float, at_least: int = 1) -> list[PlannedRun]:
    """The first jobs that fit into the time, by what their trials took; `at_least` as many."""
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
    """Train the best run of the winner on with an online view an epoch, if that was not done."""
    record = read(home.journal_file)
    best = chosen(runs_of(record.facts), config.direction)
    if best is None or best.refined or ending.cut_short:
        return
    if any(run.refined and run.trial == best.trial for run in runs_of(record.facts)):
        return
    limit_s = allowance(config, record, ending.spent_s, slots=1) / 2
    if limit_s <= 0:  # it would be broken off in its first epoch
        return
    won = record.trials[best.trial]
    trial = refinement(TrialConfig(**won.config), best.seed)
    start = home.trial(best.trial) / best.weights
    job = PlannedRun(best.trial, trial, start=start, limit_s=limit_s, network=won.network)
    for run in _trained([job], config, place, 1, ending):
        keep(run)


def refinement(trial: TrialConfig, seed: int) -> TrialConfig:
    """The same trial for half as many epochs, at a tenth of its rate, every epoch a new view."""
    augment = Augment(**AUGMENTATIONS["light"]) if trial.augment.nothing else trial.augment
    return trial.model_copy(
        update={
            "seed": seed,
            "augment": augment,
            "views": 0,
            "view_seed": seed,  # not the views that the trials of the study have seen
            "epochs": max(1, trial.epochs // 2),
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
    """Train a job to its end in this process and keep its best weights; without a value where it
    diverged, or had no time for one epoch.
    """
    from tlsearch.training.checkpoint import load_checkpoint

    start = None
    if job.start is not None:
        start = replace(load_checkpoint(job.start), trial=job.trial, epoch=0)
    best, seconds = Run(job.number, job.trial.seed, None, 0, 0.0, job.refines), 0.0
    for report in place.train(job.trial, start, job.network):
        seconds += report.seconds
        if report.diverged or (job.limit_s is not None and seconds > job.limit_s):
            break
        if place.better(report.value, best.value):
            best = replace(best, value=report.value, epoch=report.epoch)
            report.snapshot().save(folder / best.weights, weights_only=True)
    return replace(best, seconds=round(seconds, 2))

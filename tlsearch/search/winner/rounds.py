"""The plan of confirmation runs: rounds of the best trials on fresh seeds, then one refinement.

This is arithmetic on the record alone: nothing is trained here.
"""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tlsearch.config.schema import SearchConfig
from tlsearch.config.trial_config import TrialConfig
from tlsearch.results.rank.confirmation import FRESH_SHARE, SEEDS, SHARE, runs_of
from tlsearch.results.rank.standings import ranked_trials
from tlsearch.results.record.journal import StudyRecord, TrialRecord
from tlsearch.search.propose.optuna_space import replica_seed

FRESH = 1000  # the number of the first fresh seed; replicas in a small space use the lower ones
REFINED_RATE = 0.1  # the learning rate of a refinement, relative to the trial's own


@dataclass(frozen=True)
class PlannedRun:
    """A run to train.

    `number` is its trial, and `trial` the configuration. `expected_s` is the time that it should
    take, `limit_s` the most that it may take. `start` is the weight file of a refinement, None for
    a confirmation. `network` is the digest of its trial's pretrained network, if it is known.
    """

    number: int
    trial: TrialConfig
    expected_s: float = 0.0
    start: Path | None = None
    limit_s: float | None = None
    network: str | None = None

    def to_text(self) -> str:
        """Return the run as text for a worker; `of_text` reads it."""
        plain = {**vars(self), "trial": self.trial.to_json()}
        return json.dumps(plain, default=str)

    @classmethod
    def of_text(cls, text: str) -> "PlannedRun":
        """Return the run that `to_text` wrote."""
        plain = json.loads(text)
        start = plain["start"] and Path(plain["start"])
        return cls(**{**plain, "trial": TrialConfig(**plain["trial"]), "start": start})

    @property
    def refines(self) -> bool:
        """Whether the run is a refinement, which continues from the weights of a confirmed run."""
        return self.start is not None


def due_runs(
    config: SearchConfig, record: StudyRecord, spent_s: float, slots: int
) -> list[PlannedRun]:
    """Return the runs that are still to be trained, round by round; none if no time is left.

    A round trains every candidate on the same seed, so that candidates are compared on equal seeds.
    The first round is always due, but a time budget may limit it to its best candidates. Another
    round is due only after a whole first round, and if all rounds up to and including it fit into
    a share of the time of the trials.
    """
    budget_s = left_s(config, spent_s, slots)
    if budget_s <= 0:
        return []
    first, *more = rounds(config, record)
    taken = affordable_runs(first, budget_s, at_least=0 if runs_of(record.facts) else 1)
    used_s = done_s(config, record) + _expected_s(first)
    for another in more if len(taken) == len(first) else ():
        used_s += _expected_s(another)
        if used_s > share_s(record, FRESH_SHARE) or _expected_s([*taken, *another]) > budget_s:
            break
        taken += another
    return taken


def rounds(config: SearchConfig, record: StudyRecord) -> list[list[PlannedRun]]:
    """Return, for each fresh seed, the candidates not yet trained on it, best first."""
    done = {(run.trial, run.seed) for run in runs_of(record.facts) if not run.refined}
    top = _distinct(ranked_trials(record))[: config.confirm]
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
    """Return a part of the slot-seconds that confirming and refining may take together.

    The first round counts towards it, but is trained even if it exceeds it.
    """
    return SHARE * part * sum(trial.seconds for trial in record.trials)


def done_s(config: SearchConfig, record: StudyRecord) -> float:
    """Return the expected slot-seconds of all confirmation runs that are done.

    Expected times are used, so that the same runs are due whether one driver trains them or
    several.
    """
    runs = (run for run in runs_of(record.facts) if not run.refined)
    return sum(_whole_s(record.trials[run.trial], record, config.epochs) for run in runs)


def left_s(config: SearchConfig, spent_s: float, slots: int) -> float:
    """Return the slot-seconds that the study's time budget leaves; infinite without a budget."""
    return math.inf if config.time_budget is None else (config.time_budget - spent_s) * slots


def _expected_s(runs: Iterable[PlannedRun]) -> float:
    return sum(run.expected_s for run in runs)


def _distinct(order: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Return the best trial of each configuration; replicas differ in their seeds alone."""
    first: dict[str, TrialRecord] = {}
    for trial in order:
        first.setdefault(_with_seed(trial, 0).digest, trial)
    return list(first.values())


def fresh_seeds(seed: int) -> list[int]:
    """Return the seeds for confirmation, which no trial of the study has."""
    return [replica_seed(seed, FRESH + number) for number in range(SEEDS)]


def affordable_runs(
    wanted: Sequence[PlannedRun], allowed_s: float, at_least: int
) -> list[PlannedRun]:
    """Return the first runs whose expected times fit into `allowed_s`, but at least `at_least`."""
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
    """Return the expected seconds to train a trial to its last epoch.

    A trial without a recorded time, because it was cut short, counts like the other trials.
    """
    timed = [trial] if trial.seconds else [other for other in record.trials if other.seconds]
    an_epoch_s = sum(t.seconds for t in timed) / max(1, sum(t.epochs + 1 for t in timed))
    return an_epoch_s * (epochs + 1)


def online_epoch_s(
    record: StudyRecord,
    trial: TrialRecord,
    train: int,
    validation: int,
    image_s: float | None = None,
) -> float:
    """Return the expected seconds of an epoch of a trial that needs a frozen pass in every epoch.

    It is the time of the trial's own epoch plus that of a pass over the `train` images, at
    `image_s` seconds per image. If `image_s` is None, the pass counts at the best speed of any
    trial, or not at all if no speed is known. `train` and `validation` are numbers of images.
    """
    own_s = trial.seconds / max(1, trial.epochs + 1)
    if image_s is not None:
        return own_s + train * image_s
    speeds = [t.work["done"] / t.seconds for t in record.trials if t.work and t.seconds]
    if trial.work is None or not any(speeds):
        return own_s
    config = TrialConfig(**trial.config)
    views = len({config.view(epoch) for epoch in range(1, trial.epochs + 1)})
    image = float(trial.work["prefix_pass"]) / max(1, train * views + validation)
    return float(own_s + train * image / max(speeds))


def refinement(trial: TrialConfig, seed: int, most_epochs: int) -> TrialConfig:
    """Return a trial's refinement: half as many epochs, a tenth of its learning rate, and a new
    view in every epoch.

    It trains at most `most_epochs` epochs, and at least one.
    """
    return trial.model_copy(
        update={
            "seed": seed,
            "views": 0,
            "view_seed": seed,  # the trials of the study have not seen these views
            "epochs": max(1, min(trial.epochs // 2, most_epochs)),
            trial.depth.rate: trial.learning_rate * REFINED_RATE,
        }
    )

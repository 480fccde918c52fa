"""Which runs confirm a search: whole rounds of the best trials on fresh seeds; then a refinement.

Arithmetic on the record alone: nothing is trained here.
"""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tlsearch.config.schema import SearchConfig
from tlsearch.config.trial_config import TrialConfig
from tlsearch.results.rank.confirmation import FRESH_SHARE, SHARE, runs_of
from tlsearch.results.rank.standings import ranked
from tlsearch.results.record.journal import StudyRecord, TrialRecord
from tlsearch.search.propose.optuna_space import replica_seed

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

    def to_text(self) -> str:
        """As text, for a worker; `of_text` reads it."""
        plain = {**vars(self), "trial": self.trial.to_json()}
        return json.dumps(plain, default=str)

    @classmethod
    def of_text(cls, text: str) -> "PlannedRun":
        """As `to_text` wrote it."""
        plain = json.loads(text)
        start = plain["start"] and Path(plain["start"])
        return cls(**{**plain, "trial": TrialConfig(**plain["trial"]), "start": start})

    @property
    def refines(self) -> bool:
        """Whether it trains on from a confirmed run's weights."""
        return self.start is not None


def due(config: SearchConfig, record: StudyRecord, spent_s: float, slots: int) -> list[PlannedRun]:
    """The runs that are still to be trained, in whole rounds: a round is one seed for every
    candidate, so that candidates are compared on the same seeds.

    The first round is due whatever it takes. Another one is due where all rounds so far fit into a
    share of what the trials took. A time budget may cut the first round to its best candidates.
    """
    budget_s = left_s(config, spent_s, slots)
    if budget_s <= 0:
        return []
    first, *more = rounds(config, record)
    taken = within(first, budget_s, at_least=0 if runs_of(record.facts) else 1)
    used_s = done_s(config, record) + _expected_s(first)
    for another in more if len(taken) == len(first) else ():
        used_s += _expected_s(another)
        if used_s > share_s(record, FRESH_SHARE) or _expected_s([*taken, *another]) > budget_s:
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


def left_s(config: SearchConfig, spent_s: float, slots: int) -> float:
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


def online_epoch_s(
    record: StudyRecord,
    trial: TrialRecord,
    train: int,
    validation: int,
    image_s: float | None = None,
) -> float:
    """What an epoch of a trial is expected to take where each needs a pass of the frozen part over
    the `train` images: the trial's own epoch, and the pass at `image_s` for an image; where nobody
    knows that, at the best speed that a trial reached.
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
    """The same trial for half as many epochs, at a tenth of its rate, every epoch a new view."""
    return trial.model_copy(
        update={
            "seed": seed,
            "views": 0,
            "view_seed": seed,  # not the views that the trials of the study have seen
            "epochs": max(1, min(trial.epochs // 2, most_epochs)),
            trial.depth.rate: trial.learning_rate * REFINED_RATE,
        }
    )

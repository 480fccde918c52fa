"""The best trials trained again on fresh seeds: who wins, and how sure that is."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import sqrt
from statistics import mean, stdev
from typing import Any

from tlsearch.config.catalog import Direction
from tlsearch.results.rank.leaderboard import ranked
from tlsearch.results.record.journal import StudyRecord

RUNS = "confirmation"  # the fact that holds the runs
SHARE = 0.3  # of the search's own time, at most
FRESH_SHARE = 2 / 3  # of that; the rest refines the winner


def search_budget(budget_s: float | None, spent_s: float, confirms: bool) -> float | None:
    """When the search itself must end, in seconds of the study, for confirming to fit behind it."""
    if budget_s is None or not confirms:
        return budget_s
    return spent_s + max(0.0, budget_s - spent_s) / (1 + SHARE)


@dataclass(frozen=True)
class Run:
    """One configuration trained again with a seed of its own; `value` is its best epoch's, None
    where it diverged.

    `refined`: trained on with an online augmented view an epoch, from the weights of that run.
    """

    trial: int
    seed: int
    value: float | None
    epoch: int
    seconds: float
    refined: bool = False

    @property
    def weights(self) -> str:
        """The file of its best weights, in the trial's folder."""
        return f"{'refined' if self.refined else 'confirmed'}-{self.seed}.npz"

    def to_json(self) -> dict[str, Any]:
        """Plain values, as the journal holds them; `Run(**it)` reads them."""
        return asdict(self)


@dataclass(frozen=True)
class Confirmed:
    """A trial's score over fresh seeds: mean and standard error (None for a single one)."""

    trial: int
    mean: float
    error: float | None
    runs: tuple[Run, ...]


def runs_of(facts: Mapping[str, Any]) -> tuple[Run, ...]:
    """The runs that a journal holds."""
    return tuple(Run(**run) for run in facts.get(RUNS, ()))


def confirmed(runs: Iterable[Run], direction: Direction) -> list[Confirmed]:
    """Confirmed trials, best mean first; a trial with fewer seeds than others comes after them."""
    fresh: dict[int, list[Run]] = {}
    for run in runs:
        if not run.refined and run.value is not None:
            fresh.setdefault(run.trial, []).append(run)
    found = [_confirmed(trial, own) for trial, own in fresh.items()]
    sign = -1 if direction == "max" else 1
    return sorted(found, key=lambda one: (-len(one.runs), sign * one.mean, one.trial))


def _confirmed(trial: int, runs: Sequence[Run]) -> Confirmed:
    values = [run.value for run in runs if run.value is not None]
    error = stdev(values) / sqrt(len(values)) if len(values) > 1 else None
    return Confirmed(trial, mean(values), error, tuple(runs))


def chosen(runs: Sequence[Run], direction: Direction) -> Run | None:
    """The run to export: the best of the winning trial, or its refinement where that is better."""
    order = confirmed(runs, direction)
    if not order:
        return None
    sign = 1 if direction == "max" else -1
    own = [run for run in runs if run.trial == order[0].trial and run.value is not None]
    return max(own, key=lambda run: (sign * (run.value or 0.0), not run.refined, -run.seed))


@dataclass(frozen=True)
class Winner:
    """What a study exports: a trial, and the file of its weights in the trial's folder."""

    trial: int
    weights: str = "best.npz"

    def to_json(self) -> dict[str, Any]:
        """Plain values, as the journal holds them."""
        return asdict(self)


def winner(record: StudyRecord) -> Winner | None:
    """The confirmed winner; where nothing was confirmed the best trial, None before the first."""
    run = chosen(runs_of(record.facts), record.direction)
    if run is not None:
        return Winner(run.trial, run.weights)
    best = next(iter(ranked(record)), None)
    return None if best is None else Winner(best.number)


def recorded_values(record: StudyRecord, won: Winner) -> Mapping[int, float]:
    """Epoch -> the metric that the journal holds for kept weights: of a trial, or of the run that
    trained it again.
    """
    again = [run for run in runs_of(record.facts) if run.trial == won.trial]
    own = [run for run in again if run.weights == won.weights]
    if own:
        return {run.epoch: run.value for run in own if run.value is not None}
    return record.trials[won.trial].values


def lines(record: StudyRecord) -> list[str]:
    """What a report says of the confirmation, a sentence a trial."""
    searched = {trial.number: trial.best(record.direction) for trial in record.trials}
    found = []
    for one in confirmed(runs_of(record.facts), record.direction):
        best = searched.get(one.trial)
        before = "" if best is None else f" (the search saw {best[1]:.4f})"
        spread = "" if one.error is None else f" ± {one.error:.4f}"
        seeds = "seed" if len(one.runs) == 1 else "seeds"
        found.append(
            f"trial {one.trial} confirmed: {one.mean:.4f}{spread} on {len(one.runs)} fresh "
            f"{seeds}{before}"
        )
    return [*found, *_refinements(record)]


def _refinements(record: StudyRecord) -> list[str]:
    runs = runs_of(record.facts)
    exported = chosen(runs, record.direction)
    return [
        "refined with online augmentation: "
        + ("no value" if run.value is None else f"{run.value:.4f}")
        + (", kept" if run == exported else ", not better, not kept")
        for run in runs
        if run.refined
    ]

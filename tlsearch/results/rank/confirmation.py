"""The confirmation: the best trials, trained again on fresh seeds, and the winner among them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import sqrt
from statistics import NormalDist, mean, stdev, variance
from typing import Any

from tlsearch.config.catalog import Direction
from tlsearch.results.rank.standings import ranked_trials
from tlsearch.results.record.file_names import BEST
from tlsearch.results.record.journal import EXPORTED, StudyRecord

RUNS = "confirmation"  # the fact that holds the runs
NOT_REFINED = "not_refined"  # the fact that holds why the winner was not refined
SEEDS = 2  # fresh seeds, at most
SHARE = 0.3  # of the trials' time, for confirming and refining; the first round may exceed it
FRESH_SHARE = 2 / 3  # of that time, for more seeds; the rest is for refining the winner


def trials_budget_s(budget_s: float | None, spent_s: float, confirms: bool) -> float | None:
    """Return when the trials must end so that the confirmation fits into the study's time budget.

    The result is in seconds of the study; None if the budget is unlimited.
    """
    if budget_s is None or not confirms:
        return budget_s
    return spent_s + max(0.0, budget_s - spent_s) / (1 + SHARE)


@dataclass(frozen=True)
class Run:
    """One configuration trained again with a fresh seed.

    `value` is the metric at the best epoch, `epoch`; None if the run diverged before any epoch
    that counts. A `refined` run continues from the weights of the run with the same seed, with one
    online augmented view per epoch. `sha256` is the digest of its weights; None if an earlier
    version recorded none.
    """

    trial: int
    seed: int
    value: float | None
    epoch: int
    seconds: float
    refined: bool = False
    sha256: str | None = None

    @property
    def weights(self) -> str:
        """The name of the file of its best weights in the trial's folder."""
        return f"{'refined' if self.refined else 'confirmed'}-{self.seed}.npz"

    def to_json(self) -> dict[str, object]:
        """Return the plain values that the journal holds; `Run(**values)` reads them."""
        return asdict(self)


@dataclass(frozen=True)
class Confirmed:
    """A trial's score on the seeds that all candidates share: mean and standard error.

    `values` maps each shared seed to the run's value, or to None if it has none. `error` is None
    if fewer than two seeds have a value.
    """

    trial: int
    mean: float
    error: float | None
    values: Mapping[int, float | None]

    @property
    def diverged(self) -> int:
        """The number of shared seeds on which training diverged before any epoch that counts."""
        return sum(value is None for value in self.values.values())


def runs_of(facts: Mapping[str, Any]) -> tuple[Run, ...]:
    """Return the confirmation runs among a journal's facts."""
    return tuple(Run(**run) for run in facts.get(RUNS, ()))


def confirmed_candidates(runs: Iterable[Run], direction: Direction) -> list[Confirmed]:
    """Return the candidates, best first, by the mean over the seeds that all of them share.

    A candidate that diverged on a shared seed ranks after those that did not; one that diverged on
    all of them is left out.
    """
    fresh: dict[int, dict[int, float | None]] = {}
    for run in runs:
        if not run.refined:
            fresh.setdefault(run.trial, {})[run.seed] = run.value
    seeds = _shared_seeds(fresh.values())
    found = [
        _mean_score(trial, {seed: own[seed] for seed in seeds}) for trial, own in fresh.items()
    ]
    sound = (one for one in found if one is not None)
    return sorted(sound, key=lambda one: (one.diverged, direction.key(one.mean), one.trial))


def _shared_seeds(candidates: Iterable[Mapping[int, float | None]]) -> list[int]:
    """Return the seeds on which every candidate was trained, ascending."""
    kept = [set(own) for own in candidates]
    return sorted(set.intersection(*kept)) if kept else []


def _mean_score(trial: int, values: Mapping[int, float | None]) -> Confirmed | None:
    """Return a candidate's score; None if no shared seed has a value."""
    sound = [value for value in values.values() if value is not None]
    if not sound:
        return None
    error = stdev(sound) / sqrt(len(sound)) if len(sound) > 1 else None
    return Confirmed(trial, mean(sound), error, values)


def run_to_export(runs: Sequence[Run], direction: Direction) -> Run | None:
    """Return the run to export: the winning trial's best one, refined only if that is better."""
    order = confirmed_candidates(runs, direction)
    if not order:
        return None
    own = [run for run in runs if run.trial == order[0].trial and run.value is not None]
    return min(own, key=lambda run: (direction.key(run.value or 0.0), run.refined, run.seed))


def probability_better(order: Sequence[Confirmed], images: int | None) -> float | None:
    """Return the probability that the first of `order` is better than the second.

    It is None if it is unknown: with one candidate, if the second one diverged on a seed, or if no
    variance is known. The computation is a normal approximation. The variance of the difference is
    that between seeds, pooled over the candidates, plus the binomial variance if the metric is a
    share of `images` validation images. The latter treats the two scores as measured on separate
    images, so the probability is conservative.
    """
    if len(order) < 2 or order[1].diverged:
        return None
    first, second = order[:2]
    spread = _variance_of_seeds(order)
    if spread is None and not images:
        return None
    chance = 0.0
    if images:
        chance = sum(one.mean * (1 - one.mean) / images for one in (first, second))
    total = chance + 2 * (spread or 0.0) / len(first.values)
    if total == 0:
        return None
    return NormalDist().cdf(abs(first.mean - second.mean) / sqrt(total))


def _variance_of_seeds(order: Sequence[Confirmed]) -> float | None:
    """Return the variance between seeds, averaged over the candidates; None for single seeds."""
    values = [[v for v in one.values.values() if v is not None] for one in order]
    known = [variance(own) for own in values if len(own) > 1]
    return mean(known) if known else None


@dataclass(frozen=True)
class Winner:
    """The model that a study exports: a trial, and a file of weights in the trial's folder."""

    trial: int
    weights: str = BEST

    def to_json(self) -> dict[str, object]:
        """Return the plain values that the journal holds."""
        return asdict(self)


def winner(record: StudyRecord) -> Winner | None:
    """Return the confirmed winner, else the best ranked trial; None if no trial is ranked."""
    run = run_to_export(runs_of(record.facts), record.direction)
    if run is not None:
        return Winner(run.trial, run.weights)
    best = next(iter(ranked_trials(record)), None)
    return None if best is None else Winner(best.number)


def decided_winner(record: StudyRecord) -> Winner | None:
    """Return the winner once a confirmation run, a test score or an export is recorded, else None.

    It may still change while confirmation runs are being trained.
    """
    return winner(record) if {RUNS, EXPORTED, "test"} & {*record.facts} else None


def run_of(record: StudyRecord, won: Winner) -> Run | None:
    """Return the run that trained the winner's weights; None if the search itself trained them."""
    runs = (r for r in runs_of(record.facts) if (r.trial, r.weights) == (won.trial, won.weights))
    return next(runs, None)


def recorded_values(record: StudyRecord, won: Winner) -> Mapping[int, float]:
    """Return epoch -> recorded metric for the winner's weights.

    If a confirmation run trained them, it holds that run's best epoch only; otherwise all epochs of
    the trial.
    """
    run = run_of(record, won)
    if run is None:
        return record.trials[won.trial].values
    return {} if run.value is None else {run.epoch: run.value}


def recorded_digest(record: StudyRecord, won: Winner) -> str | None:
    """Return the recorded SHA-256 of the winner's weights; None if there is no record."""
    run = run_of(record, won)
    return record.trials[won.trial].kept.get(won.weights) if run is None else run.sha256


def confirmation_lines(record: StudyRecord, images: int | None = None) -> list[str]:
    """Return the report's sentences on the confirmation: candidates, choice and refinement.

    `images` is the number of validation images if the metric is a share of them.
    """
    order = confirmed_candidates(runs_of(record.facts), record.direction)
    searched = {trial.number: trial.best(record.direction) for trial in record.trials}
    found = [_line(one, searched.get(one.trial)) for one in order]
    return [*found, *_choice(order, images), *_refinements(record)]


def _line(one: Confirmed, searched: tuple[int, float] | None) -> str:
    before = "" if searched is None else f" ({searched[1]:.4f} in the search)"
    score = f"{one.mean:.4f} with"  # of a single seed
    if one.error is not None:
        score = f"mean {one.mean:.4f} ± {one.error:.4f} over"
    diverged = f"; diverged on {one.diverged} of them" if one.diverged else ""
    return f"trial {one.trial} confirmed: {score} {_seeds(len(one.values))}{before}{diverged}"


def _choice(order: Sequence[Confirmed], images: int | None) -> list[str]:
    """Return the sentence on the winner's lead and its probability of being the better one."""
    if len(order) < 2:
        return []
    first, second = order[:2]
    sure = probability_better(order, images)
    certainty = "" if sure is None else f"; it is the better one with a probability of {sure:.0%}"
    single = " (one seed does not show how much seeds matter)" if len(first.values) == 1 else ""
    return [
        f"trial {first.trial} is chosen: {abs(first.mean - second.mean):.4f} ahead of trial "
        f"{second.trial} on the same {_seeds(len(first.values))}{certainty}{single}"
    ]


def _seeds(count: int) -> str:
    return f"{count} fresh {'seed' if count == 1 else 'seeds'}"


def _refinements(record: StudyRecord) -> list[str]:
    runs = runs_of(record.facts)
    exported = run_to_export(runs, record.direction)
    reason = record.facts.get(NOT_REFINED)
    return [
        "refined with online augmentation: "
        + ("no value" if run.value is None else f"{run.value:.4f}")
        + (", kept" if run == exported else ", not better, not kept")
        for run in runs
        if run.refined
    ] + ([f"not refined: {reason}"] if reason else [])

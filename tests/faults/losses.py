"""A strict account of what a study lost once it was resumed to its end."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
from injected import Fault
from small_study import ENDED, SmallStudy

from tlsearch.bundle.manifest import read_manifest
from tlsearch.config.trial_config import TrialConfig
from tlsearch.data.sources import ImageData, prepare
from tlsearch.features import FeatureStore
from tlsearch.results.rank.leaderboard import leaderboard_of
from tlsearch.results.rank.standings import ranked_trials
from tlsearch.results.record.journal import TrialRecord, newest_name, open_storage
from tlsearch.results.report.text import render
from tlsearch.search.handle import Study
from tlsearch.search.propose.outcome import LOST
from tlsearch.search.trial.curve_point import curve_point

Points = list[dict[str, Any]]
EXACT = ("epoch", "value", "train_loss", "validation_loss", "validation_accuracy")


class Reference:
    """Undisturbed learning curves of the same configurations, each trained once in this process."""

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._known: dict[str, Points] = {}

    def points(self, study: Study, config: dict[str, Any]) -> Points:
        """Return the learning curve of a configuration when nothing goes wrong."""
        key = json.dumps(config, sort_keys=True)
        if key not in self._known:
            data = prepare(study.config.data, self._cache)
            self._known[key] = self._trained(TrialConfig(**config), data)
        return self._known[key]

    def _trained(self, trial: TrialConfig, data: ImageData) -> Points:
        from tlsearch.training.runtime import limit_resources

        limit_resources(1)
        from tlsearch.training.trial import train

        store = FeatureStore(self._cache, trial.feature_dtype, 10**9)
        reports = train(trial, data, store)
        return [_exact(curve_point(report, every_batch=False)) for report in reports]


def round_of(
    fault: Fault, small: SmallStudy, chance: random.Random, reference: Reference
) -> tuple[bool, list[str]]:
    """Inject a fault and resume the study to its end; return whether it hit, and what was lost."""
    hit = fault(small, chance)
    before = small.ended()
    small.finish()
    if small.complaints:
        return hit, small.complaints
    return hit, losses(small, before, reference)


def losses(small: SmallStudy, before: dict[int, TrialRecord], reference: Reference) -> list[str]:
    """Describe what was lost, duplicated or changed; `before` are the trials that had ended when
    the last fault hit.
    """
    study = Study(small.study)
    trials = study.record().trials
    problems = list(_of_numbers(small, study, trials))
    problems += [f"trial {n} is not what it was" for n in before if not _same(n, before, trials)]
    for trial in trials:
        problems += _of_trial(small, study, trial, reference)
    return [*problems, *_of_winner(study), *_of_report(study)]


def _of_numbers(small: SmallStudy, study: Study, trials: tuple[TrialRecord, ...]) -> Iterator[str]:
    numbers = [trial.number for trial in trials]
    if numbers != list(range(study.config.trials)):
        yield f"trials {numbers}, expected {study.config.trials} of them"
    storage = open_storage(small.study / "journal.log")
    optuna_trials = optuna.load_study(study_name=newest_name(storage), storage=storage).trials
    for trial in optuna_trials:
        if trial.state not in (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED):
            yield f"trial {trial.number} is {trial.state.name} to the sampler"
        if (trial.constraints == {"sound": 1.0}) != (trial.number in small.sacrificed):
            yield f"trial {trial.number} was told with the constraints {trial.constraints}"


def _same(number: int, before: dict[int, TrialRecord], trials: tuple[TrialRecord, ...]) -> bool:
    return number < len(trials) and trials[number] == before[number]


def _of_trial(
    small: SmallStudy, study: Study, trial: TrialRecord, reference: Reference
) -> Iterator[str]:
    name, lost = f"trial {trial.number}", trial.number in small.sacrificed
    if trial.state not in ENDED or (trial.state == "failed") != lost:
        yield f"{name} is {trial.state}: {trial.reason[-300:]}"
    if lost:
        if trial.reason != LOST:
            yield f"{name}: {trial.reason}"
        return
    expected = reference.points(study, dict(trial.config))
    curve = _curve(small.study / "trials" / f"{trial.number:05d}" / "curves.jsonl")
    if sorted(trial.values) != list(range(trial.epochs + 1)):
        yield f"{name}: epochs {sorted(trial.values)} in the journal"
    if curve != expected[: len(curve)] or len(curve) != len(trial.values):
        yield f"{name}: its curve {curve}, undisturbed {expected}"
    if dict(trial.values) != {p["epoch"]: p["value"] for p in curve}:
        yield f"{name}: the journal tells {dict(trial.values)}, its curve another story"


def _curve(path: Path) -> Points:
    text = path.read_text() if path.is_file() else ""
    return [_exact(json.loads(line)) for line in text.splitlines()]


def _exact(point: dict[str, Any]) -> dict[str, Any]:
    return {name: point[name] for name in EXACT}


def _of_winner(study: Study) -> Iterator[str]:
    record = study.record()
    winner, test = ranked_trials(record)[0], record.facts.get("test", {})
    best = winner.best(record.direction)
    assert best
    if test.get("trial") != winner.number:
        yield f"trial {winner.number} leads, the test split saw {test}"
    manifest = read_manifest(study.home.best)
    if manifest.trained_accuracy != best[1]:
        yield f"exported at {manifest.trained_accuracy}, recorded {best}"
    for artifact in manifest.artifacts:
        if artifact.agreement != 1.0:
            yield f"{artifact.format} agrees on {artifact.agreement} of the pictures"


def _of_report(study: Study) -> Iterator[str]:
    written = (study.home.report / "leaderboard.json").read_text()
    if written != render(leaderboard_of(study.home), "json"):
        yield "the written leaderboard is not that of the record"

"""The early end of a search once a trial has the best possible value of the metric."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from tlsearch.config.catalog import PERFECT, Direction
from tlsearch.config.spelling import with_spaces
from tlsearch.results.record.journal import StudyRecord, TrialRecord

NEVER = datetime.max  # naive local time, like Optuna's times
EXTENDING_KEYS = ("trials", "time_budget", "space")  # extension keys that request trials


def is_perfect(trial: TrialRecord, metric: str) -> bool:
    """Whether a trial has ended with the best possible value of its metric."""
    best = trial.best(Direction.MAX) if trial.state in ("finished", "stopped") else None
    return metric in PERFECT and best is not None and best[1] >= PERFECT[metric]


def perfect_trial(record: StudyRecord, about: Mapping[str, Any]) -> int | None:
    """Return the number of the first perfect trial, at which the search ends.

    It is None if there is no such trial, or if an extension requested more trials after it. `about`
    is the content of study.yaml.
    """
    ended = [one for one in record.trials if one.state not in ("waiting", "unfinished")]
    order = sorted(ended, key=lambda one: (one.ended or NEVER, one.number))
    metric = about["config"]["metric"]
    for place, trial in enumerate(order, 1):
        if is_perfect(trial, metric):
            more = any(after >= place for after in _ended_at_extensions(about.get("extended", [])))
            return None if more else trial.number
    return None


def continued_after_perfect(record: StudyRecord, about: Mapping[str, Any]) -> bool:
    """Whether more trials were requested although one was perfect; the search trains them all."""
    some = any(is_perfect(trial, about["config"]["metric"]) for trial in record.trials)
    return some and perfect_trial(record, about) is None


def perfect_message(trial: int, metric: str) -> str:
    """Return the message that the search ended because of this perfect trial."""
    return (
        f"trial {trial} reached a validation {with_spaces(metric)} of {PERFECT[metric]:.4f}, "
        "which no trial can exceed; `tlsearch resume DIR --trials +N` trains more all the same"
    )


def _ended_at_extensions(extensions: Sequence[Mapping[str, Any]]) -> list[int]:
    """Return the number of ended trials at each extension that requested more trials."""
    return [
        one["after_trials"]
        for one in extensions
        if any(key.split(".")[0] in EXTENDING_KEYS for key in one["changes"])
    ]

"""The end of a search whose metric cannot get any better."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from tlsearch.config.catalog import PERFECT, Direction
from tlsearch.results.record.journal import StudyRecord, TrialRecord

NEVER = datetime.max  # local, as Optuna's times are
ASK_FOR_MORE = ("trials", "time_budget", "space")  # keys of an extension that ask for more trials


def is_perfect(trial: TrialRecord, metric: str) -> bool:
    """Whether a trial has ended with the best value that its metric can have."""
    best = trial.best(Direction.MAX) if trial.state in ("finished", "stopped") else None
    return metric in PERFECT and best is not None and best[1] >= PERFECT[metric]


def perfect_trial(record: StudyRecord, about: Mapping[str, Any]) -> int | None:
    """The first perfect trial, after which no further one is due; None where there is none, or the
    study was asked for more trials after it. `about` is what study.yaml holds.
    """
    ended = [one for one in record.trials if one.state not in ("waiting", "unfinished")]
    order = sorted(ended, key=lambda one: (one.ended or NEVER, one.number))
    metric = about["config"]["metric"]
    for place, trial in enumerate(order, 1):
        if is_perfect(trial, metric):
            more = any(after >= place for after in _asked_after(about.get("extended", [])))
            return None if more else trial.number
    return None


def asked_on(record: StudyRecord, about: Mapping[str, Any]) -> bool:
    """Whether the study was asked for more trials although one was perfect: it trains them all."""
    some = any(is_perfect(trial, about["config"]["metric"]) for trial in record.trials)
    return some and perfect_trial(record, about) is None


def reason(trial: int, metric: str) -> str:
    """Why the search ended with this trial."""
    return (
        f"trial {trial} reached a validation {metric.replace('_', ' ')} of {PERFECT[metric]:.4f}, "
        "which no trial can exceed; `tlsearch resume DIR --trials +N` trains more all the same"
    )


def _asked_after(extensions: Sequence[Mapping[str, Any]]) -> list[int]:
    """After how many ended trials the study was asked for more of them."""
    return [
        one["after_trials"]
        for one in extensions
        if any(key.split(".")[0] in ASK_FOR_MORE for key in one["changes"])
    ]

"""Compares the best trials of a study with its leader, image by image."""

import logging
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np

from tlsearch.base.errors import RecordError
from tlsearch.config.catalog import Direction
from tlsearch.results.rank.mcnemar import paired_p
from tlsearch.results.rank.standings import KEPT_TRIALS
from tlsearch.results.record.directory import StudyDirectory
from tlsearch.results.record.file_names import PREDICTIONS
from tlsearch.results.record.journal import TrialRecord
from tlsearch.results.record.predictions import Predictions, load_predictions

log = logging.getLogger(__name__)


def p_values(
    study: Path, metric: str, order: Sequence[TrialRecord], direction: Direction
) -> dict[int, float]:
    """Return trial number -> p-value of the difference between the trial and the leader.

    `order` holds the ranked trials, the leader first. Trials are left out if their predictions were
    not kept or do not match the leader's. The result is empty if the metric cannot be computed from
    predicted classes. A damaged file, or one that is missing although other trials have theirs,
    causes one warning per process.
    """
    kept = {trial.number: _predictions(study, trial, direction) for trial in _with_weights(order)}
    there = {number: one for number, one in kept.items() if one is not None}
    _tell_missing(study, kept, order)
    if not order or order[0].number not in there:
        return {}
    leader, found = there[order[0].number], {}
    for number, one in there.items():
        if number == order[0].number or not _alike(study, number, leader, one):
            continue
        if (p := paired_p(metric, leader.true, leader.predicted, one.predicted)) is not None:
            found[number] = p
    return found


def _with_weights(order: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Return the trials whose predictions are kept: the best that ended, and all unfinished."""
    ended = [trial for trial in order if trial.state != "unfinished"][:KEPT_TRIALS]
    return [*ended, *(trial for trial in order if trial.state == "unfinished")]


def _predictions(study: Path, trial: TrialRecord, direction: Direction) -> Predictions | None:
    """Return a trial's predictions if the file exists, is sound and is of the best epoch."""
    path = StudyDirectory(study).trial(trial.number) / PREDICTIONS
    try:
        # the file of an unfinished trial may be ahead of the journal
        recorded = None if trial.state == "unfinished" else trial.kept.get(PREDICTIONS)
        found = load_predictions(path, trial.number, recorded)
    except RecordError as error:
        _warn(f"{error}; the trial is compared with the leader by their intervals only")
        return None
    best = trial.best(direction)
    if found is None or best is None or found.epoch == best[0]:
        return found
    if trial.state != "unfinished":  # else the journal does not hold that epoch yet
        _warn(
            f"{path}: holds predictions of epoch {found.epoch}, expected those of the best epoch, "
            f"{best[0]}; ignored"
        )
    return None


def _tell_missing(
    study: Path, kept: Mapping[int, Predictions | None], order: Sequence[TrialRecord]
) -> None:
    """Warn of missing prediction files if others exist; studies of earlier versions have none."""
    home = StudyDirectory(study)
    files = {number: (home.trial(number) / PREDICTIONS).exists() for number in kept}
    ended = {trial.number for trial in order if trial.state != "unfinished"}
    lost = sorted(number for number, there in files.items() if not there and number in ended)
    if lost and any(files.values()):
        names = ", ".join(map(str, lost))
        _warn(
            f"{study}: no {PREDICTIONS} of trial {names}, expected for the best {KEPT_TRIALS} that "
            "ended; compared with the leader by their intervals only"
        )


def _alike(study: Path, number: int, leader: Predictions, other: Predictions) -> bool:
    """Whether both trials list the same true classes in the same order; warn if they do not."""
    if np.array_equal(leader.true, other.true):
        return True
    _warn(f"{study}: trial {number} and the leader were scored on different images; not paired")
    return False


@cache
def _warn(text: str) -> None:
    """Warn once per process, although a report has several formats and is redrawn while watched."""
    log.warning("%s", text)

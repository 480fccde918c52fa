"""The record of a study: an Optuna journal, read and written only here."""

import contextlib
import json
import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.storages import BaseStorage, JournalStorage
from optuna.trial import FrozenTrial, TrialState

from tlsearch.base.errors import RecordError
from tlsearch.base.files import Stamp, stamp
from tlsearch.base.links import read_plain, refuse_link
from tlsearch.config.catalog import Direction
from tlsearch.config.networks.unfreezing import Depth
from tlsearch.results.record.journal_file import DAMAGE, JournalFile
from tlsearch.results.record.seal import require_sealed

log = logging.getLogger(__name__)

# The first Optuna study; tlsearch-2, tlsearch-3, ... follow when the search space changes.
STUDY_NAME = "tlsearch"
# Facts are user attributes of the Optuna study, notes are user attributes of a trial.
SPACE = "space"  # fact: the search space; written last, it marks a copied study as complete
NETWORK = "network"  # note: the digest of a trial's pretrained network
KEPT = "kept"  # note: the SHA-256 of each array file that a trial keeps
FEATURE_DTYPE = "feature_dtype"  # note: the dtype in which a trial's features were stored
EXPORTED = "exported"  # fact: the winner whose bundle is in `best/`
LEFT_OUT = "left_out"  # fact: the export formats missing from the bundle, with the reasons
BY_PRIOR = "by_prior"  # note: whether the prior proposed the trial
SPENT = "spent_s"  # fact: the seconds that a study has taken, over all its drivers

State = Literal["finished", "stopped", "diverged", "failed", "unfinished", "waiting"]


@dataclass(frozen=True)
class TrialRecord:
    """One trial as the journal records it; `values` maps each epoch to the study's metric.

    `trained_share` is the share of the multiply-adds in layers that train. `work` holds the trial's
    multiply-adds (see `training.work_done`). `worker` is the node and process that trained the
    trial, `machine` the hardware, `threads` the number of CPU threads. `network` is the digest of
    its pretrained network. `kept` maps the name of each file of its best epoch to the SHA-256.
    `feature_dtype` is the dtype in which its features were stored; "" if none was recorded, as for
    a failed trial or one that has not ended. `by_prior` is true if the prior proposed the trial.
    """

    number: int
    state: State
    config: Mapping[str, Any]
    values: Mapping[int, float]
    reason: str = ""
    seconds: float = 0.0
    trained_parameters: int | None = None
    trained_share: float | None = None
    work: Mapping[str, Any] | None = None
    worker: str = ""
    machine: str = ""
    threads: int | None = None
    network: str | None = None
    kept: Mapping[str, str] = field(default_factory=dict)
    feature_dtype: str = ""
    by_prior: bool = False
    started: datetime | None = None
    ended: datetime | None = None

    @property
    def epochs(self) -> int:
        """The last epoch reported; 0 if only the warm-up or nothing was reported."""
        return max(self.values, default=0)

    @property
    def widened(self) -> bool:
        """Whether features overflowed the configured dtype and were stored in a wider one."""
        return self.feature_dtype not in ("", self.config.get(FEATURE_DTYPE))

    @property
    def ranked_values(self) -> dict[int, float]:
        """The values of the epochs that count for the ranking; see `Depth.first_ranked_epoch`."""
        first = Depth.of(self.config).first_ranked_epoch
        return {epoch: value for epoch, value in self.values.items() if epoch >= first}

    def best(self, direction: Direction) -> tuple[int, float] | None:
        """Return the best epoch that counts and its value; None if no such epoch was reported.

        Of epochs with equal values it is the earliest.
        """
        found = self.ranked_values.items()
        return min(found, key=lambda item: (direction.key(item[1]), item[0]), default=None)

    def better_warm_up(self, direction: Direction) -> float | None:
        """Return the warm-up's value if it beats every epoch that counts; None otherwise."""
        best, before = self.best(direction), self.values.get(0)
        if best is None or before is None or best[0] == 0:
            return None
        return before if direction.better(before, best[1]) else None


@dataclass(frozen=True)
class StudyRecord:
    """The content of a journal: the trials of a study and the facts about it as a whole."""

    direction: Direction
    trials: tuple[TrialRecord, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)


def results_on_test(record: StudyRecord) -> list[dict[str, object]]:
    """Return every evaluation of a winner on the test split, in order: trial, value, images."""
    last = record.facts.get("test")
    before: list[dict[str, Any]] = record.facts.get("tests", [])
    return before or ([] if last is None else [last])


def network_digests(trials: Iterable[TrialRecord]) -> dict[tuple[str, str], str]:
    """Return the digest of each pretrained network, as the first trial that used it recorded it.

    The keys are those of `network_name`.
    """
    found: dict[tuple[str, str], str] = {}
    for trial in trials:
        if trial.network is not None:
            found.setdefault(network_name(trial.config), trial.network)
    return found


def network_name(trial: Mapping[str, Any]) -> tuple[str, str]:
    """Return the backbone and weights of a configuration, which identify a pretrained network."""
    return trial["backbone"], trial.get("weights", "default")


def open_storage(path: Path) -> JournalStorage:
    """Open the journal as Optuna storage, without Optuna's own lock.

    A writer must hold the study directory's lock and call `cut_incomplete_line` first; a reader
    needs neither.
    """
    return _open_journal(path)[1]


def _open_journal(path: Path) -> tuple[JournalFile, JournalStorage]:
    refuse_link(path)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    file = JournalFile(path)
    with _naming_damage(file):
        return file, JournalStorage(file)


@contextlib.contextmanager
def _naming_damage(file: JournalFile) -> Iterator[None]:
    """Turn the errors of a damaged line into a RecordError with its line number."""
    try:
        yield
    except DAMAGE as error:
        raise file.damaged(error) from error


def cut_incomplete_line(path: Path) -> int:
    """Cut off an incomplete last line and return the number of bytes cut.

    Optuna would append its next entry to that line.
    """
    if not path.is_file():
        return 0
    data = read_plain(path)
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
        with path.open("r+b") as file:
            file.truncate(whole)
        log.warning("%s: cut %d bytes of an incomplete last line", path, len(data) - whole)
    return len(data) - whole


class Journal:
    """The journal of a study; after the first read, only lines added since then are parsed.

    It is parsed again from the beginning if another file replaced it, or if it changed without
    growing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stamp: Stamp | None = None
        self._handles: tuple[JournalFile, JournalStorage] | None = None
        self._record: StudyRecord | None = None

    @property
    def begun(self) -> bool:
        """Whether the journal exists yet."""
        return self.path.is_file()

    def record(self) -> StudyRecord:
        """Return the content, even while the search runs; raises RecordError if unreadable."""
        if not self.begun:
            raise RecordError(f"{self.path}: no journal there; the study has not begun")
        now = stamp(self.path)
        if self._record is None or now != self._stamp:
            file, storage = self._storage(now)
            with _naming_damage(file):
                self._record = _build_record(self.path, storage)
            self._stamp = now
        return self._record

    def note(self, facts: Mapping[str, Any]) -> None:
        """Add facts about the whole study, such as its test score; only the driver calls this."""
        _, storage = self._storage(stamp(self.path))
        study = _newest(storage)
        for name, value in facts.items():
            study.set_user_attr(name, value)

    def _storage(self, now: Stamp) -> tuple[JournalFile, JournalStorage]:
        grown = self._stamp is not None and self._stamp[0] == now[0] and self._stamp[1] < now[1]
        if self._handles is None or not (grown or self._stamp == now):
            require_sealed(self.path)
            self._handles = _open_journal(self.path)
            self._stamp = now
        return self._handles


def read_journal(path: Path) -> StudyRecord:
    """Return the content of a journal, for a caller that reads it only once."""
    return Journal(path).record()


def _build_record(path: Path, storage: JournalStorage) -> StudyRecord:
    if not storage.get_all_studies():
        raise RecordError(f"{path}: the journal is empty; the study has not begun")
    study = _newest(storage)
    trials = study.get_trials(deepcopy=False)
    _require_configurations(path, trials)
    direction = Direction(study.direction.name[:3].lower())
    facts = {name: value for name, value in study.user_attrs.items() if name != SPACE}
    return StudyRecord(direction, tuple(map(read_trial, trials)), facts)


def _require_configurations(path: Path, trials: Iterable[FrozenTrial]) -> None:
    """Raise RecordError if a trial finished or was stopped without a recorded configuration."""
    for trial in trials:
        if _state(trial) in ("finished", "stopped") and "config" not in trial.user_attrs:
            raise RecordError(
                f"{path}: the journal is damaged (no line tells the configuration of trial "
                f"{trial.number}, which ended); restore it from a backup"
            )


def newest_name(storage: BaseStorage) -> str | None:
    """Return the name of the newest Optuna study in a journal; None if there is none.

    A study that continues another counts only once its space is noted: without it, a driver may
    have died while copying the trials.
    """
    places = {_place(study.study_name): study for study in storage.get_all_studies()}
    whole = [n for n, study in places.items() if n == 1 or (n and SPACE in study.user_attrs)]
    return places[max(whole)].study_name if whole else None


def next_name(storage: BaseStorage) -> str:
    """Return the name for the next Optuna study in a journal."""
    last = max((_place(study.study_name) for study in storage.get_all_studies()), default=0)
    return f"{STUDY_NAME}-{last + 1}" if last else STUDY_NAME


def _place(name: str) -> int:
    """Return 1 for the name `tlsearch`, n for `tlsearch-n`, and 0 for any other name."""
    found = re.fullmatch(rf"{STUDY_NAME}(?:-([2-9]|[1-9]\d+))?", name)
    return 0 if found is None else int(found[1] or 1)


def _newest(storage: BaseStorage) -> optuna.Study:
    return optuna.load_study(storage=storage, study_name=newest_name(storage) or STUDY_NAME)


def read_trial(trial: FrozenTrial) -> TrialRecord:
    """Convert an Optuna trial to a TrialRecord."""
    notes = trial.user_attrs
    return TrialRecord(
        number=trial.number,
        state=_state(trial),
        config=json.loads(notes["config"]) if "config" in notes else dict(trial.params),
        values=dict(trial.intermediate_values),
        reason=notes.get("reason", ""),
        seconds=float(notes.get("seconds", 0.0)),
        trained_parameters=notes.get("trained_parameters"),
        trained_share=notes.get("trained_share"),
        work=json.loads(notes["work"]) if "work" in notes else None,
        worker=notes.get("worker", ""),
        machine=notes.get("machine", ""),
        threads=notes.get("threads"),
        network=notes.get(NETWORK),
        kept=dict(notes.get(KEPT, {})),
        feature_dtype=notes.get(FEATURE_DTYPE, ""),
        by_prior=notes.get(BY_PRIOR, False),
        started=trial.datetime_start,
        ended=trial.datetime_complete,
    )


def _state(trial: FrozenTrial) -> State:
    if trial.state == TrialState.WAITING:
        return "waiting"
    if trial.state == TrialState.RUNNING:
        return "unfinished"
    # FAIL with an outcome: only hidden from the sampler, because it lies outside a changed space
    unrecorded = "failed" if trial.state == TrialState.FAIL else "finished"
    outcome: State = trial.user_attrs.get("outcome", unrecorded)
    return outcome

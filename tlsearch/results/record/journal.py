"""The record of a study: an Optuna journal, read and written here alone."""

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

STUDY_NAME = (
    "tlsearch"  # the first; where its space was changed, tlsearch-2, tlsearch-3, ... follow
)
SPACE = "space"  # the attribute that holds an Optuna study's search space, and makes it whole
NETWORK = "network"  # the note that holds the digest of a trial's pretrained network
KEPT = "kept"  # the note that holds the SHA-256 of each file of arrays that a trial keeps
FEATURE_DTYPE = "feature_dtype"  # the note that holds the type that its features were kept in
EXPORTED = "exported"  # the fact that holds whose bundle `best/` is
LEFT_OUT = "left_out"  # the fact that holds which formats are not in it, with the reasons
BY_PRIOR = "by_prior"  # the note on a trial that the prior proposed
SPENT = "spent_s"  # the fact that holds the seconds that a study took, over all its drivers

State = Literal["finished", "stopped", "diverged", "failed", "unfinished", "waiting"]


@dataclass(frozen=True)
class TrialRecord:
    """One trial as the journal tells it; `values` maps epoch to the study's metric.

    `trained_share` is the share of multiply-adds that trained, `work` what the
    trial computed (see `training.work_done`), `worker` the node and process, `machine` and
    `threads` what computed it, `network` the digest of its pretrained network, `kept` the SHA-256
    of the files of its best epoch, by name, `feature_dtype` the type that its features were kept
    in, "" where an earlier version ended it, `by_prior` whether the prior proposed it.
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
        """The last epoch reported; 0 where only the warm-up was, or nothing."""
        return max(self.values, default=0)

    @property
    def widened(self) -> bool:
        """Whether its activations did not fit into the type that its configuration asks for."""
        return self.feature_dtype not in ("", self.config.get(FEATURE_DTYPE))

    @property
    def ranked_values(self) -> dict[int, float]:
        """The values that count for this trial, by epoch; see `Depth.first_ranked_epoch`."""
        first = Depth.of(self.config).first_ranked_epoch
        return {epoch: value for epoch, value in self.values.items() if epoch >= first}

    def best(self, direction: Direction) -> tuple[int, float] | None:
        """The best epoch that counts and its value (the earliest of equals), None before it."""
        found = self.ranked_values.items()
        return min(found, key=lambda item: (direction.key(item[1]), item[0]), default=None)

    def better_warm_up(self, direction: Direction) -> float | None:
        """The warm-up's value where no epoch that counts was better; None elsewhere."""
        best, before = self.best(direction), self.values.get(0)
        if best is None or before is None or best[0] == 0:
            return None
        return before if direction.better(before, best[1]) else None


@dataclass(frozen=True)
class StudyRecord:
    """All that a journal holds of one study."""

    direction: Direction
    trials: tuple[TrialRecord, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)


def tested(record: StudyRecord) -> list[dict[str, object]]:
    """Every winner that was evaluated on the test split, in order: trial, value, images."""
    last = record.facts.get("test")
    before: list[dict[str, Any]] = record.facts.get("tests", [])
    return before or ([] if last is None else [last])


def networks(trials: Iterable[TrialRecord]) -> dict[tuple[str, str], str]:
    """The digest of each pretrained network, by backbone and weights, as the first trial found."""
    found: dict[tuple[str, str], str] = {}
    for trial in trials:
        if trial.network is not None:
            found.setdefault(network_name(trial.config), trial.network)
    return found


def network_name(trial: Mapping[str, Any]) -> tuple[str, str]:
    """Backbone and weights of a configuration: what a pretrained network is asked for by."""
    return trial["backbone"], trial.get("weights", "default")


def open_storage(path: Path) -> JournalStorage:
    """The journal as Optuna storage, at an absolute path, without Optuna's own lock.

    A writer holds the study directory's lock and calls `mend` first; a reader needs neither.
    """
    return _opened(path)[1]


def _opened(path: Path) -> tuple[JournalFile, JournalStorage]:
    refuse_link(path)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    file = JournalFile(path)
    with _naming_damage(file):
        return file, JournalStorage(file)


@contextlib.contextmanager
def _naming_damage(file: JournalFile) -> Iterator[None]:
    """Have a damaged line raise RecordError, with its place."""
    try:
        yield
    except DAMAGE as error:
        raise file.damaged(error) from error


def mend(path: Path) -> int:
    """Cut a torn last line, which Optuna would merge its next entry into; the bytes cut."""
    if not path.is_file():
        return 0
    data = read_plain(path)
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
        with path.open("r+b") as file:
            file.truncate(whole)
        log.warning("%s: cut %d bytes of a torn last line", path, len(data) - whole)
    return len(data) - whole


class Journal:
    """The journal of a study, parsed once: each later reading parses only the lines added since.

    It is read from its beginning again where another file took its place, or it did not only grow.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stamp: Stamp | None = None
        self._opened: tuple[JournalFile, JournalStorage] | None = None
        self._record: StudyRecord | None = None

    @property
    def begun(self) -> bool:
        """Whether there is a journal yet."""
        return self.path.is_file()

    def record(self) -> StudyRecord:
        """What it holds, also while its search runs; RecordError where it cannot be read."""
        if not self.begun:
            raise RecordError(f"{self.path}: no journal there; the study has not begun")
        now = stamp(self.path)
        if self._record is None or now != self._stamp:
            file, storage = self._storage(now)
            with _naming_damage(file):
                self._record = _record(self.path, storage)
            self._stamp = now
        return self._record

    def note(self, facts: Mapping[str, Any]) -> None:
        """Add facts of the study as a whole, such as its test score; the driver alone calls it."""
        _, storage = self._storage(stamp(self.path))
        study = _newest(storage)
        for name, value in facts.items():
            study.set_user_attr(name, value)

    def _storage(self, now: Stamp) -> tuple[JournalFile, JournalStorage]:
        grown = self._stamp is not None and self._stamp[0] == now[0] and self._stamp[1] < now[1]
        if self._opened is None or not (grown or self._stamp == now):
            require_sealed(self.path)
            self._opened = _opened(self.path)
            self._stamp = now
        return self._opened


def read(path: Path) -> StudyRecord:
    """What a journal holds, for a caller that reads it once."""
    return Journal(path).record()


def _record(path: Path, storage: JournalStorage) -> StudyRecord:
    if not storage.get_all_studies():
        raise RecordError(f"{path}: the journal is empty; the study has not begun")
    study = _newest(storage)
    trials = study.get_trials(deepcopy=False)
    _require_configurations(path, trials)
    direction = Direction(study.direction.name[:3].lower())
    facts = {name: value for name, value in study.user_attrs.items() if name != SPACE}
    return StudyRecord(direction, tuple(map(read_trial, trials)), facts)


def _require_configurations(path: Path, trials: Iterable[FrozenTrial]) -> None:
    """RecordError where a trial ended with a value and no line tells its configuration."""
    for trial in trials:
        if _state(trial) in ("finished", "stopped") and "config" not in trial.user_attrs:
            raise RecordError(
                f"{path}: the journal is damaged (no line tells the configuration of trial "
                f"{trial.number}, which ended); restore a copy of it"
            )


def newest_name(storage: BaseStorage) -> str | None:
    """The newest Optuna study of a journal, None where there is none.

    One that continues another counts from when its space is noted: until then a driver may have
    died while it moved the trials.
    """
    places = {_place(study.study_name): study for study in storage.get_all_studies()}
    whole = [n for n, study in places.items() if n == 1 or (n and SPACE in study.user_attrs)]
    return places[max(whole)].study_name if whole else None


def next_name(storage: BaseStorage) -> str:
    """The name of the Optuna study that would continue all others of a journal."""
    last = max((_place(study.study_name) for study in storage.get_all_studies()), default=0)
    return f"{STUDY_NAME}-{last + 1}" if last else STUDY_NAME


def _place(name: str) -> int:
    """1 for the first study, n for the one that continues it as n-th; 0 for a foreign one."""
    found = re.fullmatch(rf"{STUDY_NAME}(?:-([2-9]|[1-9]\d+))?", name)
    return 0 if found is None else int(found[1] or 1)


def _newest(storage: BaseStorage) -> optuna.Study:
    return optuna.load_study(storage=storage, study_name=newest_name(storage) or STUDY_NAME)


def read_trial(trial: FrozenTrial) -> TrialRecord:
    """What an Optuna trial says, in the words of this project."""
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
    # FAIL with an outcome: kept from the sampler alone, since it lies outside of a changed space
    unsaid = "failed" if trial.state == TrialState.FAIL else "finished"
    outcome: State = trial.user_attrs.get("outcome", unsaid)
    return outcome

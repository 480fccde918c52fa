"""The journal file in Optuna's format, one JSON object per line; every line is checked."""

import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from optuna.storages.journal import JournalFileBackend
from optuna.storages.journal._file import BaseJournalFileLock

from tlsearch.base.errors import RecordError
from tlsearch.base.files import path_in_errors
from tlsearch.results.record.notes import require_fact, require_note

# The errors that damaged lines cause in Optuna and in the checks below.
DAMAGE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)

# Optuna's operation codes (`JournalOperation`), by the subject of their lines.
_CREATE_STUDY, _STUDY_FACT, _CREATE_TRIAL = 0, 2, 4
_VALUE, _TRIAL_NOTE = 7, 8
_OF_STUDY = (1, _STUDY_FACT, 3, _CREATE_TRIAL)
_OF_TRIAL = (5, 6, _VALUE, _TRIAL_NOTE, 9)


class _DriverHolds(BaseJournalFileLock):
    """A lock that does nothing, because the driver already holds the study directory's lock."""

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        return None


class JournalFile(JournalFileBackend):
    """Optuna's file backend, except that it skips an incomplete last line and checks all others.

    Optuna itself ignores a damaged last line and lines about unknown trials. `line` is the number
    of the line read last.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(str(path.absolute()), lock_obj=_DriverHolds())
        self._path = path
        self._ours = False  # whether this process appended; its own lines need no check
        self._begin_again()

    def _begin_again(self) -> None:
        self.line = self._offset = self._trials = 0
        self._studies: list[str] = []

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, object]]:  # type: ignore[override]
        """Yield the entries after the first `log_number_from`.

        Raises one of the errors in `DAMAGE` if an entry is damaged.
        """
        if log_number_from != self.line:
            self._begin_again()
        with self._path.open("rb") as file:
            file.seek(self._offset)
            for text in file:
                if not text.endswith(b"\n"):
                    return  # incomplete, or still being written
                self._offset += len(text)
                self.line += 1
                entry = self._parse_entry(text)
                if self.line > log_number_from:
                    yield entry

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append all entries or none: half a line would damage the line after it."""
        size, self._ours = self._path.stat().st_size, True
        try:
            with path_in_errors(self._path):
                super().append_logs(logs)
        except OSError:
            os.truncate(self._path, size)
            raise

    def damaged(self, error: Exception) -> RecordError:
        """Return the RecordError for the line read last: its place, the damage, and the loss."""
        lines = self._path.read_bytes().splitlines()
        after = len(lines) - self.line
        later = "1 line" if after == 1 else f"{after} lines"
        return RecordError(
            f"{self._path}:{self.line}: the journal is damaged ({_short(error)}); restore it from "
            "a backup, or truncate it before this line, which loses this line and the "
            f"{later} after it"
        )

    def _parse_entry(self, text: bytes) -> dict[str, object]:
        entry: dict[str, Any] = json.loads(text)
        if self._ours:
            return entry
        kind, _ = entry["op_code"], entry["worker_id"]
        if kind in _OF_STUDY:
            _require_known("study", entry["study_id"], len(self._studies))
        if kind in _OF_TRIAL:
            _require_known("trial", entry["trial_id"], self._trials)
        if kind == _CREATE_STUDY and entry["study_name"] not in self._studies:
            self._studies.append(entry["study_name"])
        self._trials += kind == _CREATE_TRIAL
        self._require_values(kind, entry)
        return entry

    def _require_values(self, kind: int, entry: dict[str, Any]) -> None:
        """Raise ValueError unless the notes, facts and metric values of an entry are well typed."""
        if kind == _VALUE:
            _require_report(entry["step"], entry["intermediate_value"])
        if kind == _CREATE_TRIAL:
            for step, value in entry.get("intermediate_values", {}).items():
                _require_report(int(step), value)
        if kind in (_CREATE_TRIAL, _TRIAL_NOTE):
            notes = entry["user_attr"] if kind == _TRIAL_NOTE else entry.get("user_attrs", {})
            for name, value in notes.items():
                require_note(name, value)
        if kind == _STUDY_FACT:
            for name, value in entry["user_attr"].items():
                require_fact(name, value, self._trials)


def _require_known(what: str, number: object, count: int) -> None:
    if type(number) is not int or not 0 <= number < count:
        raise ValueError(f"it refers to {what} {number!r}, which no earlier line creates")


def _require_report(epoch: object, value: object) -> None:
    if type(epoch) is not int or epoch < 0:
        raise ValueError(f"epoch: found {epoch!r}, expected a whole number >= 0")
    if type(value) not in (int, float) or not math.isfinite(value):  # type: ignore[arg-type]
        raise ValueError(f"value of epoch {epoch}: found {value!r}, expected a number")


def _short(error: Exception) -> str:
    """Return an error as one line, with its type if the message alone says too little."""
    text = (str(error).splitlines() or [""])[0][:200]
    kinds = {KeyError: f"no {text} in it", json.JSONDecodeError: f"not JSON: {text}"}
    return kinds.get(type(error), text or type(error).__name__)

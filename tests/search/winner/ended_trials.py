"""A study whose trials have ended, the starting point of the confirmation tests."""

from collections.abc import Sequence
from typing import Any

from tlsearch.config.catalog import Direction
from tlsearch.config.load import parse
from tlsearch.config.trial_config import TrialConfig
from tlsearch.results.rank.confirmation import Run
from tlsearch.results.record.journal import StudyRecord, TrialRecord

CONFIG = parse("data: {kind: digits}\nspace: {backbone: strokes}\nepochs: 9\nconfirm: 2")


def trial(
    number: int, value: float, epochs: int = 9, seconds: float = 10.0, **changes: Any
) -> TrialRecord:
    plain: dict[str, Any] = {"backbone": "strokes", "head_lr": 1e-3 * (number + 1), **changes}
    values = dict.fromkeys(range(epochs + 1), value)
    config = TrialConfig(**plain).to_json()
    return TrialRecord(number, "finished", config, values, seconds=seconds)


def record(*trials: TrialRecord, runs: Sequence[Run] = ()) -> StudyRecord:
    return StudyRecord(Direction.MAX, trials, {"confirmation": [run.to_json() for run in runs]})

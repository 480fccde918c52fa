"""The inputs of a ranking besides the journal: validation split size, exported files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tlsearch.base.files import parse_json
from tlsearch.base.links import read_plain
from tlsearch.config.catalog import Direction
from tlsearch.results.rank.against_leader import p_values
from tlsearch.results.rank.interval import wilson
from tlsearch.results.record.file_names import MANIFEST
from tlsearch.results.record.journal import EXPORTED, StudyRecord, TrialRecord


@dataclass(frozen=True)
class RankingContext:
    """The inputs of a ranking that the journal does not hold.

    `counted` is the number of validation images if the metric is a share of them; None otherwise.
    `exported` is the trial whose model was exported and measured: `latency_ms` is its latency for
    one image, `bytes` the size of its first file. `metric` is the study's metric and `study` its
    directory, which holds the predictions of the best trials.
    """

    counted: int | None = None
    exported: int | None = None
    latency_ms: float | None = None
    bytes: int | None = None
    metric: str = ""
    study: Path | None = None

    def p_values(self, order: Sequence[TrialRecord], direction: Direction) -> dict[int, float]:
        """Return trial -> p-value against the leader, for the trials that can be paired with it."""
        return {} if self.study is None else p_values(self.study, self.metric, order, direction)

    def interval(self, value: float) -> tuple[float, float] | None:
        """Return the 95 % interval of a metric's value; None if the metric has none."""
        return None if not self.counted or not 0 <= value <= 1 else wilson(value, self.counted)


def ranking_context(
    record: StudyRecord, about: Mapping[str, Any], best: Path | None = None
) -> RankingContext:
    """Gather the context from the record, study.yaml and the exported bundle.

    `about` is the content of study.yaml, `best` the bundle's folder in the study directory. Without
    `best` the context holds the number of counted images only.
    """
    counted, metric = None, about["config"]["metric"]
    if metric == "accuracy":
        counted = about.get("data", {}).get("images", {}).get("validation")
    # Studies of earlier versions record only the test of the exported trial.
    trial = (record.facts.get(EXPORTED) or record.facts.get("test", {})).get("trial")
    if best is None:
        return RankingContext(counted)
    measured = (None, None) if trial is None else _read_measurements(best / MANIFEST)
    return RankingContext(counted, trial, *measured, metric, best.parent)


def _read_measurements(manifest: Path) -> tuple[float | None, int | None]:
    """Return one-image latency and size of a bundle's first file; None, None if not measured."""
    try:
        first = parse_json(read_plain(manifest))["artifacts"][0]
        return _single(first.get("latency_ms", {})), int(first["bytes"])
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None, None  # not exported yet, or exported by another version without these values


def _single(latency_ms: Mapping[str, float]) -> float | None:
    """Return the latency of a batch of one, on one thread if that was measured."""
    batches = {name: value for name, value in latency_ms.items() if name.startswith("batch 1,")}
    return batches.get("batch 1, 1 thread", next(iter(batches.values()), None))

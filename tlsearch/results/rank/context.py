"""What a ranking needs besides the journal: the validation split's size, the exported files."""

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
from tlsearch.results.record.journal import StudyRecord, TrialRecord


@dataclass(frozen=True)
class RankingContext:
    """`counted`: the images whose share the metric is, None where it is no share of images.

    `exported` is the trial whose model was measured; its latency is that of one image.
    `study` is the directory that holds what the best trials predicted, in `metric`'s study.
    """

    counted: int | None = None
    exported: int | None = None
    latency_ms: float | None = None
    bytes: int | None = None
    metric: str = ""
    study: Path | None = None

    def p_values(self, order: Sequence[TrialRecord], direction: Direction) -> dict[int, float]:
        """Trial -> p-value against the leader of ranked trials, of those that can be paired."""
        return {} if self.study is None else p_values(self.study, self.metric, order, direction)

    def interval(self, value: float) -> tuple[float, float] | None:
        """The 95 % interval of a metric's value, where the metric has one."""
        return None if not self.counted or not 0 <= value <= 1 else wilson(value, self.counted)


def ranking_context(
    record: StudyRecord, about: Mapping[str, Any], best: Path | None = None
) -> RankingContext:
    """Gather it from study.yaml's content, the bundle of the exported trial, `best`, and the study
    directory around that.
    """
    counted, metric = None, about["config"]["metric"]
    if metric == "accuracy":
        counted = about.get("data", {}).get("images", {}).get("validation")
    trial = record.facts.get("test", {}).get("trial")
    if best is None:
        return RankingContext(counted)
    measured = (None, None) if trial is None else _measured(best / MANIFEST)
    return RankingContext(counted, trial, *measured, metric, best.parent)


def _measured(manifest: Path) -> tuple[float | None, int | None]:
    """Latency of one image and size of a bundle's first file; None, None without a manifest."""
    try:
        first = parse_json(read_plain(manifest))["artifacts"][0]
        return _single(first.get("latency_ms", {})), int(first["bytes"])
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None, None  # not exported yet, or by another version: nothing was measured


def _single(latency_ms: Mapping[str, float]) -> float | None:
    """The latency of a batch of one, on one thread where that was measured."""
    batches = {name: value for name, value in latency_ms.items() if name.startswith("batch 1,")}
    return batches.get("batch 1, 1 thread", next(iter(batches.values()), None))

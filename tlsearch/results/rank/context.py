"""What a ranking needs besides the journal: the validation split's size, the exported files."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tlsearch.results.rank.interval import wilson
from tlsearch.results.record.journal import StudyRecord


@dataclass(frozen=True)
class RankingContext:
    """`counted`: the images whose share the metric is, None where it is no share of images.

    `exported` is the trial whose model was measured; its latency is that of one image.
    """

    counted: int | None = None
    exported: int | None = None
    latency_ms: float | None = None
    bytes: int | None = None

    def interval(self, value: float) -> tuple[float, float] | None:
        """The 95 % interval of a metric's value, where the metric has one."""
        return None if not self.counted or not 0 <= value <= 1 else wilson(value, self.counted)


def ranking_context(
    record: StudyRecord, about: Mapping[str, Any], best: Path | None = None
) -> RankingContext:
    """Gather it from study.yaml's content and the bundle of the exported trial, `best`."""
    counted = None
    if about["config"]["metric"] == "accuracy":
        counted = about.get("data", {}).get("images", {}).get("validation")
    trial = record.facts.get("test", {}).get("trial")
    if trial is None or best is None:
        return RankingContext(counted)
    latency_ms, size = _measured(best / "manifest.json")
    return RankingContext(counted, trial, latency_ms, size)


def _measured(manifest: Path) -> tuple[float | None, int | None]:
    """Latency of one image and size of a bundle's first file; None, None without a manifest."""
    try:
        first = json.loads(manifest.read_text(encoding="utf-8"))["artifacts"][0]
        return _single(first.get("latency_ms", {})), int(first["bytes"])
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None, None  # not exported yet, or by another version: nothing was measured


def _single(latency_ms: Mapping[str, float]) -> float | None:
    """The latency of a batch of one, on one thread where that was measured."""
    batches = {name: value for name, value in latency_ms.items() if name.startswith("batch 1,")}
    return batches.get("batch 1, 1 thread", next(iter(batches.values()), None))

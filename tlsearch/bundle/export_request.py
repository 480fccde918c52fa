"""What to export: named by a search, carried out where TensorFlow may be imported."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tlsearch.bundle.manifest import TestScore
from tlsearch.config.dataset import Data
from tlsearch.config.trial_config import TrialConfig
from tlsearch.data.sources import ImageData

EXPORTING = "exporting"  # the phase of an export


@dataclass(frozen=True)
class ExportRequest:
    """What to export and where to; `pictures_from` is the data as the user named it.

    `timed` measures the latency of every file; `test` is the test score of what is exported, where
    it was evaluated; `recorded` maps epochs to the metric that the study recorded for them.
    `refined_from` is the trial whose weights were trained on, where the checkpoint is a refinement.
    """

    checkpoint: Path
    data: ImageData
    pictures_from: Data
    formats: tuple[str, ...]
    out: Path
    versions: dict[str, str]
    test: TestScore | None = None
    timed: bool = False
    refined_from: TrialConfig | None = None
    recorded: Mapping[int, float] = field(default_factory=dict)

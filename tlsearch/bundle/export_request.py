"""An export request: made by a search, carried out in a process that may import TensorFlow."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tlsearch.bundle.manifest import TestScore
from tlsearch.config.dataset import Data
from tlsearch.config.trial_config import TrialConfig
from tlsearch.data.sources import ImageData

EXPORTING = "exporting"  # the name of the export's phase


@dataclass(frozen=True)
class ExportRequest:
    """A request to export a checkpoint in some formats.

    `pictures_from` is the `data` section of the search space. `timed` measures the latency of every
    file. `test` is the test score of the checkpoint, if it was evaluated. `recorded` maps epochs to
    the metric that the study recorded for them. If the checkpoint is a refinement, `refined_from`
    is the trial whose weights it continued to train.
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

"""Where a study's trials train: its images, its features, the CPUs of one trial; without Ray."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tlsearch.config.catalog import Direction
from tlsearch.config.dimension import Unfrozen
from tlsearch.config.schema import SearchConfig
from tlsearch.config.trial import TrialConfig
from tlsearch.data.sources import ImageData

if TYPE_CHECKING:
    from tlsearch.search.handover import Handover
    from tlsearch.training.checkpoint import Checkpoint
    from tlsearch.training.trial import EpochReport


@dataclass(frozen=True)
class Workplace:
    """What all trials of a study share, sent once to every actor; `cpus` are threads a trial."""

    data: ImageData
    study: Path
    cache: Path
    cache_bytes: int
    cuts: tuple[Unfrozen, ...]
    direction: Direction
    cpus: int
    handover: "Handover | None" = None  # how trials' files reach a driver on another node

    def train(
        self, trial: TrialConfig, start: "Checkpoint | None" = None
    ) -> Iterator["EpochReport"]:
        """The epochs of one trial in this process, within its threads, those after `start` where
        it is given; imports TensorFlow.
        """
        from tlsearch.training.runtime import limit_threads

        limit_threads(self.cpus)
        from tlsearch.features import FeatureStore
        from tlsearch.training.executor import shared_executor
        from tlsearch.training.trial import train

        store = FeatureStore(self.cache, trial.feature_dtype, self.cache_bytes)
        yield from train(trial, self.data, store, start, shared_executor(self.cuts))

    def better(self, value: float, than: float | None) -> bool:
        """Whether a value of the metric is the better one."""
        if than is None:
            return True
        return value > than if self.direction == "max" else value < than


def workplace(
    config: SearchConfig, data: ImageData, study: Path, handover: "Handover | None" = None
) -> Workplace:
    """The workplace of a search, whose directory is `study`."""
    return Workplace(
        data=data,
        study=study,
        cache=config.cache_path,
        cache_bytes=int(config.cache_gb * 1e9),
        cuts=config.space.cuts(),
        direction=config.direction,
        cpus=config.resources.cpus_per_trial,
        handover=handover,
    )

"""The workplace of a study's trials: images, features, and the CPUs and GPUs of a trial; no Ray."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tlsearch.base.phases import phase
from tlsearch.config.catalog import Direction
from tlsearch.config.device import CPU_PROFILE, DeviceProfile
from tlsearch.config.networks.unfreezing import PrefixDepths
from tlsearch.config.scheduler import waiting_rungs
from tlsearch.config.schema import SearchConfig
from tlsearch.config.trial_config import TrialConfig
from tlsearch.data.sources import ImageData
from tlsearch.results.record.directory import StudyDirectory
from tlsearch.search.cluster.node_checks import node_versions
from tlsearch.store.users import mark_used

if TYPE_CHECKING:
    from tlsearch.features import Fetch
    from tlsearch.search.cluster.trial_transfer import Handover, Networks
    from tlsearch.training.checkpoint import Checkpoint
    from tlsearch.training.trial import EpochReport


@dataclass(frozen=True)
class Workplace:
    """The values that all trials of a study share; they are sent once to every actor.

    `cpus` is the number of threads of a trial. `gpus` below 1 is the share of a GPU's memory that a
    trial may use. `fetch` copies the images to a node that does not share the driver's cache.
    `peers` fetches features that this node lacks from other nodes. `handover` transfers the files
    of trials to a driver whose directory the nodes do not share. `networks` copies the networks
    from outside the catalogue to a node. `versions` are the driver's, empty
    on a single node. `device` is the device profile of all trials. With `every_batch`, the learning
    curves also hold each batch of an epoch. `rungs` are the epochs after which a trial may wait
    until a worker continues it.
    """

    data: ImageData
    study: Path
    cache: Path
    cache_bytes: int
    prefix_depths: PrefixDepths
    direction: Direction
    cpus: int
    every_batch: bool = False
    rungs: tuple[int, ...] = ()
    gpus: float = 0
    fetch: Callable[[Path], None] | None = None
    handover: "Handover | None" = None
    peers: "Fetch | None" = None
    networks: "Networks | None" = None
    versions: Mapping[str, str] = field(default_factory=dict)
    device: DeviceProfile = CPU_PROFILE

    @property
    def on_cluster(self) -> bool:
        """Whether trials may train on nodes other than the driver's."""
        return self.fetch is not None

    @property
    def shared_file(self) -> Path | None:
        """The study file, which every node must see; None if the files of trials are handed over to
        the driver.
        """
        return None if self.handover else StudyDirectory(self.study).study_file

    def train(
        self,
        trial: TrialConfig,
        start: "Checkpoint | None" = None,
        network: str | None = None,
        feature_dtype: str | None = None,
    ) -> Iterator["EpochReport"]:
        """Train one trial in this process and yield its epochs, those after `start` if it is given.

        Imports TensorFlow and limits its threads. `network` is the digest of the pretrained network
        that the study has recorded; raises WeightsError if the network's digest differs.
        `feature_dtype` is the type in which the trial's features are kept, if it is known.
        """
        with mark_used(self.data.images_path):
            if self.fetch is not None:
                with phase("fetching images"):
                    self.fetch(self.data.images_path)
            yield from self._epochs(trial, start, network, feature_dtype)

    def _epochs(
        self,
        trial: TrialConfig,
        start: "Checkpoint | None",
        network: str | None,
        feature_dtype: str | None,
    ) -> Iterator["EpochReport"]:
        with phase("starting", 1, "step") as counter:
            from tlsearch.training.runtime import apply_profile, limit_resources

            limit_resources(self.cpus, self.gpus)
            apply_profile(self.device)
            from tlsearch.features import shared_store
            from tlsearch.training.epoch.executor import shared_executor
            from tlsearch.training.trial import train

            counter.advance()
        store = shared_store(self.cache, trial.feature_dtype, self.cache_bytes, self.peers)
        if feature_dtype is not None:
            store = store.with_dtype(feature_dtype)
        executor = shared_executor(self.prefix_depths, self.device)
        yield from train(trial, self.data, store, start, executor, network)

    def better(self, value: float, than: float | None) -> bool:
        """Whether `value` of the metric is better than `than`; any value is better than None."""
        return than is None or self.direction.better(value, than)


def workplace(
    config: SearchConfig,
    data: ImageData,
    study: Path,
    fetch: Callable[[Path], None] | None = None,
    handover: "Handover | None" = None,
    peers: "Fetch | None" = None,
    networks: "Networks | None" = None,
    device: DeviceProfile = CPU_PROFILE,
) -> Workplace:
    """Return the workplace of a search whose study directory is `study`."""
    return Workplace(
        data=data,
        study=study,
        cache=config.cache_path,
        cache_bytes=int(config.cache_gb * 1e9),
        prefix_depths=tuple(
            (name, config.space.prefix_depths(name)) for name in config.space.backbone.values
        ),
        direction=config.direction,
        cpus=config.resources.cpus_per_trial,
        every_batch=config.history == "batch",
        rungs=waiting_rungs(config.scheduler, config.epochs),
        gpus=config.resources.gpus_per_trial,
        fetch=fetch,
        handover=handover,
        peers=peers,
        networks=networks,
        versions=node_versions() if fetch else {},
        device=device,
    )

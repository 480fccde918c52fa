"""Checkpoints: everything a resumed epoch depends on, in one file of plain arrays (no pickle)."""

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tlsearch.base.errors import RecordError
from tlsearch.base.files import DAMAGED_ARCHIVE, atomic_file
from tlsearch.base.links import refuse_link
from tlsearch.config.catalog import UNRECORDED
from tlsearch.config.trial_config import TrialConfig
from tlsearch.training.network.backbone import LoadedBackbone
from tlsearch.training.network.model import Arrays

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The state of a trial after `epoch`: the variables it changed ("model/...") and the
    optimizer's.

    `network` is the digest of the pretrained network that the variables belong to, None if an
    earlier version wrote the file without one. `path` is the file that the checkpoint was read
    from. `feature_dtype` is the type in which the trial's features were stored, None if it is
    unknown.
    """

    trial: TrialConfig
    epoch: int
    arrays: Arrays
    network: str | None = None
    path: Path | None = None
    feature_dtype: str | None = None

    def save(self, path: Path, weights_only: bool = False) -> None:
        """Write the file atomically; `weights_only` leaves out the state of the optimizer."""
        kept = {k: v for k, v in self.arrays.items() if k.startswith("model/") or not weights_only}
        facts = {
            "trial": self.trial.to_json(),
            "epoch": self.epoch,
            "network": self.network,
            "feature_dtype": self.feature_dtype,
        }
        about = json.dumps(facts)
        with atomic_file(path) as file:
            np.savez(file, about=np.array(about), **kept)  # type: ignore[arg-type]

    def require_for(self, backbone: LoadedBackbone) -> None:
        """Raise WeightsError if the checkpoint belongs to a different pretrained network; log a
        warning if it does not name its network.
        """
        if self.network is not None:
            backbone.require(self.network)
            return
        log.warning("%s: %s", self.path, UNRECORDED)

    def restore_into(self, put_back: Callable[[Arrays], object]) -> None:
        """Pass the arrays to `put_back`; if they do not fit, raise a RecordError that names this
        file.
        """
        try:
            put_back(self.arrays)
        except RecordError as error:
            raise RecordError(
                f"{self.path}: does not hold the weights of its own configuration ({error}): "
                "damaged, or changed since it was written; restore the file, or delete it"
            ) from error


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint. Raises RecordError if it is missing or damaged."""
    refuse_link(path)
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        about = json.loads(str(arrays.pop("about")))
        trial, network = TrialConfig(**about["trial"]), about.get("network")
        dtype = about.get("feature_dtype")
        return Checkpoint(trial, int(about["epoch"]), arrays, network, path, dtype)
    except FileNotFoundError:
        raise RecordError(f"{path}: no such file; this trial's weights were not kept") from None
    except DAMAGED_ARCHIVE as error:
        raise RecordError(f"{path}: not a checkpoint, or damaged ({error})") from error

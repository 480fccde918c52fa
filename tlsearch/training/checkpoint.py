"""All that a resumed epoch depends on, in one file of plain arrays (no pickle)."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tlsearch.base.errors import RecordError
from tlsearch.base.files import DAMAGED_ARCHIVE, whole_file
from tlsearch.config.trial_config import TrialConfig
from tlsearch.training.network.model import Arrays


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The state of a trial after `epoch`: changed variables ("model/...") and the optimizer's."""

    trial: TrialConfig
    epoch: int
    arrays: Arrays

    def save(self, path: Path, weights_only: bool = False) -> None:
        """Write whole, or not at all; `weights_only` leaves the optimizer's state out."""
        kept = {k: v for k, v in self.arrays.items() if k.startswith("model/") or not weights_only}
        about = json.dumps({"trial": self.trial.to_json(), "epoch": self.epoch})
        with whole_file(path) as file:
            np.savez(file, about=np.array(about), **kept)  # type: ignore[arg-type]


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint; raises RecordError where it is missing or damaged."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        about = json.loads(str(arrays.pop("about")))
        return Checkpoint(TrialConfig(**about["trial"]), int(about["epoch"]), arrays)
    except FileNotFoundError:
        raise RecordError(f"{path}: no such file; this trial's weights were not kept") from None
    except DAMAGED_ARCHIVE as error:
        raise RecordError(f"{path}: not a checkpoint, or damaged ({error})") from error

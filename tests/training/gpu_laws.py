"""One trial on one device, computed in several ways, in a separate process.

    python gpu_laws.py SHARE CACHE OUT

SHARE is a share of a GPU, or 0 for a CPU. Writes `OUT/WAY-EPOCH.npz`, the state of each way after
each epoch, and `OUT/outcome.json`: the values and losses of each way by epoch, or how it failed,
the device, and how many MiB of its memory the process could take before it trained. An epoch is one
step, so that the change in the first one is a gradient.
"""

import contextlib
import json
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tensorflow as tf

from tlsearch.base.gpus import granted_mib, limit_mib
from tlsearch.config.dataset import Data, Splits
from tlsearch.config.device import DeviceProfile, Precision
from tlsearch.config.trial_config import TrialConfig
from tlsearch.data.sources import ImageData, prepare
from tlsearch.features import FeatureStore
from tlsearch.training.checkpoint import load_checkpoint
from tlsearch.training.epoch.executor import Executor
from tlsearch.training.runtime import apply_profile, limit_resources
from tlsearch.training.trial import train

DIGITS = Data(kind="digits", image_px=32, splits=Splits(train=60, validation=70, test=80))
TRIAL = TrialConfig(  # no dropout, because XLA draws other masks
    backbone="strokes",
    unfrozen_layers=20,
    batch_size=60,
    image_px=32,
    epochs=3,
    optimizer="sgd",
    fine_tune_lr=1e-2,
    feature_dtype="float32",
)
PARTS = 16  # a share of a GPU's memory is taken in this many parts


Kind = Literal["cpu", "gpu"]


@dataclass(frozen=True)
class Way:
    """How to compute; `after` is the way whose first epoch this one continues, or None."""

    precision: Precision = "float32"
    jit: bool = False
    after: str | None = None


WAYS = {
    "float32": Way(),
    "resumed": Way(after="float32"),
    "bfloat16": Way("mixed_bfloat16"),
    "xla": Way(jit=True),
}
GPU_WAYS = {
    "again": Way(),
    "tf32": Way("tf32"),
    "bfloat16, xla": Way("mixed_bfloat16", jit=True),
}


def main() -> None:
    share, cache, out = float(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
    limit_resources(1, share)
    memory = _memory_taken(limit_mib(share, granted_mib()[0])) if share else None
    data, store = prepare(DIGITS, cache), FeatureStore(out / "features", "float32")
    curves, failed = {}, {}
    for name, way in {**WAYS, **(GPU_WAYS if share else {})}.items():
        try:
            curves[name] = _curve(name, way, data, store, "gpu" if share else "cpu", out)
        except Exception:  # whatever a device raises, report the other ways
            failed[name] = traceback.format_exc()
    outcome = {
        "device": tf.ones(1).device,
        "memory_mib": memory,
        "curves": curves,
        "failed": failed,
    }
    (out / "outcome.json").write_text(json.dumps(outcome))


def _curve(
    name: str, way: Way, data: ImageData, store: FeatureStore, kind: Kind, out: Path
) -> list[tuple[int, float, float]]:
    """Return the epoch, value and validation loss of each epoch, and save the state after each."""
    trial = TRIAL.model_copy(update={"precision": way.precision})
    jit = (trial.backbone,) if way.jit else ()
    device = DeviceProfile(kind=kind, precision=way.precision, jit=jit)
    apply_profile(device)
    start = load_checkpoint(out / f"{way.after}-1.npz") if way.after else None
    curve = []
    for report in train(trial, data, store, start, Executor((), device)):
        report.snapshot().save(out / f"{name}-{report.epoch}.npz")
        curve.append((report.epoch, report.value, report.validation_loss))
    return curve


def _memory_taken(limit_mib: int) -> int:
    """Return how many MiB TensorFlow gives this process, in equal parts, before it refuses one."""
    part = limit_mib // PARTS
    taken: list[tf.Tensor] = []
    with contextlib.suppress(tf.errors.ResourceExhaustedError):
        while len(taken) < 2 * PARTS:
            taken.append(tf.zeros((part, 2**18), tf.float32))
    return part * len(taken)


if __name__ == "__main__":
    main()

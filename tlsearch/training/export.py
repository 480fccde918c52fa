"""A finished trial -> one file that is the trained model: raw pixels in, probabilities out."""

import json
import os
import tempfile
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from tlsearch.config.trial import TrialConfig
from tlsearch.data.listing import Split
from tlsearch.data.sources import ImageData
from tlsearch.errors import RecordError
from tlsearch.training.backbone import load_backbone
from tlsearch.training.checkpoint import Checkpoint, load_checkpoint
from tlsearch.training.loop import compiled_prediction, run_blocks
from tlsearch.training.metrics import score
from tlsearch.training.model import Network

TOLERANCE = 1e-4  # largest difference of a probability between the trial and the exported file
LABELS = "labels.json"


@dataclass(frozen=True)
class ExportReport:
    """What the exported file was measured to be; `parity` is the largest probability difference."""

    path: str
    parity: float
    validation: float
    test: float | None = None
    test_images: int = 0

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def export_keras(checkpoint_path: Path, data: ImageData, out: Path, test: bool) -> ExportReport:
    """Write a trial's best weights as a `.keras` file, reload it and compare, then score it.

    The file appears only if the reloaded model predicts the validation split as the trial's own
    network does; RecordError otherwise. `test` evaluates the test split too.
    """
    checkpoint = load_checkpoint(checkpoint_path)
    network = _network(checkpoint, len(data.classes))
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(out)
    try:
        whole_model(network, checkpoint.trial).save(temporary)
        with zipfile.ZipFile(temporary, "a") as archive:
            archive.writestr(LABELS, json.dumps(list(data.classes)))
        report = _verify(temporary, out, network, checkpoint.trial, data, test)
        os.replace(temporary, out)
    finally:
        temporary.unlink(missing_ok=True)
    return report


def whole_model(network: Network, trial: TrialConfig) -> keras.Model:
    """RGB 0-255 of any size, (n, height, width, 3) -> probabilities, (n, classes)."""
    inputs = keras.Input((None, None, 3), name="image")
    resize = keras.layers.Resizing(
        trial.image_px, trial.image_px, antialias=True, name="resize", dtype="float32"
    )
    x = network.backbone.preprocess(resize(inputs))
    logits = network.head(network.sections.pool(x))
    outputs = keras.layers.Activation("softmax", name="probabilities")(logits)
    return keras.Model(inputs, outputs, name="tlsearch")


def _network(checkpoint: Checkpoint, classes: int) -> Network:
    trial = checkpoint.trial
    backbone = load_backbone(trial.backbone, trial.weights, trial.image_px)
    network = Network(trial, backbone, classes)
    network.restore(checkpoint.arrays)
    return network


def _verify(
    file: Path, out: Path, network: Network, trial: TrialConfig, data: ImageData, test: bool
) -> ExportReport:
    exported = keras.models.load_model(file, safe_mode=True)
    expected = _predict(lambda x: keras.ops.softmax(_trial_logits(network, x)), data, "validation")
    found = _predict(lambda x: exported(x, training=False), data, "validation")
    parity = float(np.abs(expected - found).max())
    if not parity <= TOLERANCE:
        raise RecordError(
            f"{out}: the reloaded model differs from the trained one by {parity:.2g} in "
            f"probability (allowed {TOLERANCE:g}); nothing was exported"
        )
    labels = data.split_labels("validation")
    report = ExportReport(str(out), parity, score(trial.metric, labels, found))
    if not test:
        return report
    probabilities = _predict(lambda x: exported(x, training=False), data, "test")
    value = score(trial.metric, data.split_labels("test"), probabilities)
    return ExportReport(report.path, parity, report.validation, value, len(probabilities))


def _trial_logits(network: Network, images: Any) -> Any:
    """The trial's own way from images to logits: prefix, then suffix and head."""
    features = images if network.sections.from_images else network.features(images)
    return network.logits(features, training=False)


def _predict(function: Any, data: ImageData, split: Split) -> NDArray[Any]:
    images = data.images(split)
    return run_blocks(compiled_prediction(function, images), images)


def _temporary(out: Path) -> Path:
    """A sibling of the file that keras accepts as a model's name."""
    handle, name = tempfile.mkstemp(dir=out.parent, prefix=f".{out.stem}.", suffix=".keras")
    os.close(handle)
    return Path(name)

"""Check that a restored network scores as the study recorded for its weights."""

import logging
from collections.abc import Mapping

import numpy as np

from tlsearch.base.array_types import Floats
from tlsearch.base.errors import RecordError
from tlsearch.bundle.metrics import Labels, score
from tlsearch.config.device import PICTURES, SHARE, rounding_share
from tlsearch.training.checkpoint import Checkpoint

BY_CLASS = ("balanced_accuracy", "macro_f1")

log = logging.getLogger(__name__)


def require_as_recorded(
    checkpoint: Checkpoint,
    labels: Labels,
    probabilities: Floats,
    recorded: Mapping[int, float],
) -> None:
    """Raise RecordError if the validation score of a trial's weights differs from the journal's
    score for their epoch by more than the rounding of another machine explains.

    `recorded` maps epochs to the study's metric; it is empty for weights without a study.
    """
    if not recorded:
        return
    path, epoch, metric = checkpoint.path, checkpoint.epoch, checkpoint.trial.metric
    if epoch not in recorded:
        log.warning("%s: the journal holds no epoch %d to compare its score with", path, epoch)
        return
    found, expected = score(metric, labels, probabilities), recorded[epoch]
    share = rounding_share(checkpoint.trial.precision)
    allowed = rounding_allowance(metric, labels, expected, share)
    if not abs(found - expected) <= allowed + 1e-9:
        raise RecordError(
            f"{path}: {metric} {found:.4f} on the validation split, but the journal says "
            f"{expected:.4f} for epoch {epoch} (allowed difference {allowed:.4f}): the pretrained "
            "weights, this file or the images are not those of the search; put the original ones "
            "back; nothing was exported"
        )


def rounding_allowance(metric: str, labels: Labels, expected: float, share: float = SHARE) -> float:
    """Return how far a metric may differ through rounding alone: 16-bit features in the search,
    another processor, TF32, layers computed in 16 bits.

    Rounding moves probabilities by some thousandths, which changes the predicted class of
    borderline images: two of a small split, a hundredth of a large one. In a metric averaged over
    classes, the weight of an image depends on the size of its class.
    """
    counts = np.bincount(labels)
    counts = counts[counts > 0]
    smallest = int(counts.min()) * len(counts) if metric in BY_CLASS else len(labels)
    return max(share * max(1.0, abs(expected)), PICTURES / smallest)

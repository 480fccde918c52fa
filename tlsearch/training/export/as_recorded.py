"""Whether a network predicts as well as the study recorded for its weights."""

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
    """Raise RecordError where a trial's weights score otherwise on the validation split than the
    journal says for their epoch, by more than another machine's rounding explains.

    `recorded` maps epochs to the study's metric; it is empty where no study is behind the weights.
    """
    if not recorded:
        return
    path, epoch, metric = checkpoint.path, checkpoint.epoch, checkpoint.trial.metric
    if epoch not in recorded:
        log.warning("%s: the journal holds no epoch %d to compare its score with", path, epoch)
        return
    found, expected = score(metric, labels, probabilities), recorded[epoch]
    share = rounding_share(checkpoint.trial.precision)
    allowed = allowance(metric, labels, expected, share)
    if not abs(found - expected) <= allowed + 1e-9:
        raise RecordError(
            f"{path}: {metric} {found:.4f} on the validation split, but the journal says "
            f"{expected:.4f} for epoch {epoch} (allowed difference {allowed:.4f}): the pretrained "
            "weights, this file or the images are not those of the search; put the original ones "
            "back; nothing was exported"
        )


def allowance(metric: str, labels: Labels, expected: float, share: float = SHARE) -> float:
    """How far a metric may be off where nothing but rounding differs: features of 16 bits in the
    search, another processor, TF32, layers that computed in 16 bits.

    Rounding moves probabilities by some thousandths, which changes the class of pictures that lie
    between two classes: two of few, a hundredth of many. A mean over classes counts a picture by
    the size of its class.
    """
    counts = np.bincount(labels)
    counts = counts[counts > 0]
    smallest = int(counts.min()) * len(counts) if metric in BY_CLASS else len(labels)
    return max(share * max(1.0, abs(expected)), PICTURES / smallest)

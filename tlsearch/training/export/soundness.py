"""Check that a reloaded file predicts as the trained model does on the validation images."""

import math
from dataclasses import dataclass

import numpy as np

from tlsearch.base.array_types import Classes, Floats
from tlsearch.base.errors import RecordError
from tlsearch.bundle.manifest import Artifact
from tlsearch.config.catalog import ExportFormat
from tlsearch.results.rank.mcnemar import mcnemar_worse

SIGNIFICANT = 0.05
# A network amplifies the rounding of every layer, not only that of its pixels.
ROUNDING_FACTOR = 4
MOST_TOLERANCES = 10  # of a format, however much a network amplifies rounding


@dataclass(frozen=True)
class Changes:
    """How many of `pictures` only the trained network classifies correctly (`worse`), and how many
    only the file does (`better`).
    """

    pictures: int
    worse: int = 0
    better: int = 0

    @classmethod
    def between(cls, labels: Classes, trained: Floats, found: Floats) -> "Changes":
        """Compare the probabilities, (n, classes), of both."""
        before, after = (p.argmax(axis=1) == labels for p in (trained, found))
        worse, better = (before & ~after).sum(), (after & ~before).sum()
        return cls(len(labels), int(worse), int(better))

    @property
    def loss(self) -> float:
        """The loss of accuracy from the trained network to the file."""
        return (self.worse - self.better) / self.pictures


def require_sound(artifact: Artifact, changes: Changes) -> None:
    """Raise RecordError if a file is not the trained model, naming the step that broke it.

    A file that computes exactly as the network does must give the same probabilities within its
    tolerance, or a multiple of `artifact.rounding` if the network amplifies rounding. A file with
    rounded weights or its own resize may lose only a little accuracy, and no significant number of
    images (McNemar's test, one-sided). A gain is not an error.
    """
    form = artifact.row
    allowed = allowed_difference(form, artifact.rounding)
    if not artifact.parity <= allowed:
        raise RecordError(
            f"{form.file}: the reloaded file differs from the network in memory by "
            f"{artifact.parity:.2g} in probability (allowed {allowed:.2g}): the conversion to "
            f"{form.name} broke it"
        )
    if form.accuracy_loss is None:
        return
    allowed_loss = max(form.accuracy_loss, _allowed_losses(form) / changes.pictures)
    chance = mcnemar_worse(changes.worse, changes.better)
    if changes.loss > allowed_loss + 1e-9 or chance < SIGNIFICANT:
        link = "the resize inside it" if form.any_size else "the rounding of its weights"
        raise RecordError(
            f"{form.file}: accuracy {artifact.accuracy:.4f} on {changes.pictures} pictures, but "
            f"{artifact.accuracy + changes.loss:.4f} in the search: {changes.worse} became wrong "
            f"and {changes.better} right (loss at most {allowed_loss:.4f} expected; McNemar p = "
            f"{chance:.2g}, at least {SIGNIFICANT:g} expected): the cause is {link}; leave this "
            "format out"
        )


def allowed_difference(form: ExportFormat, rounding: float | None) -> float:
    """Return how far a probability of a file may be from the trained network's; `rounding` is that
    of the network, None if unknown.
    """
    if form.tolerance is None:
        return math.inf
    amplified = ROUNDING_FACTOR * (rounding or 0.0)
    return min(max(form.tolerance, amplified), MOST_TOLERANCES * form.tolerance)


def may_be_rounding(form: ExportFormat, difference: float) -> bool:
    """Whether a difference that exceeds the format's tolerance may still be rounding alone."""
    tolerance = form.tolerance
    return tolerance is not None and tolerance < difference <= MOST_TOLERANCES * tolerance


def _allowed_losses(form: ExportFormat) -> int:
    """Return how many images any file may lose: more with a resize of its own, which moves more
    borderline images to another class.
    """
    return 2 if form.any_size else 1


def require_finite(form: ExportFormat, probabilities: Floats) -> None:
    """Raise RecordError if a file predicts values that are not finite."""
    if not np.isfinite(probabilities).all():
        raise RecordError(f"{form.file}: predicts NaN: the conversion broke it")

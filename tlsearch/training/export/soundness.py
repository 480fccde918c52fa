"""Check that a reloaded file predicts as the trained model does on the validation images."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tlsearch.base.array_types import Classes, Floats
from tlsearch.base.errors import RecordError
from tlsearch.bundle.manifest import Artifact
from tlsearch.config.catalog import ExportFormat
from tlsearch.results.rank.mcnemar import mcnemar_worse

SIGNIFICANT = 0.05
# A network amplifies the rounding of every layer, not only that of its pixels.
ROUNDINGS = 4
MOST = 10  # times a format's tolerance, however much a network amplifies

log = logging.getLogger(__name__)


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


def require_sound(artifact: Artifact, changes: Changes, rounding: Callable[[], float]) -> None:
    """Raise RecordError if a file is not the trained model, naming the step that broke it.

    A file that computes exactly as the network does must give the same probabilities within its
    tolerance. If it does not, `rounding` is called, which returns how far rounding moves the
    network's probabilities: a network that amplifies it is allowed more. A file with rounded
    weights or its own resize may lose only a little accuracy, and no significant number of images
    (McNemar's test, one-sided). A gain is not an error.
    """
    form = artifact.row
    if form.tolerance is not None and not artifact.parity <= form.tolerance:
        _require_rounding(artifact, form.tolerance, rounding())
    if form.accuracy_loss is None:
        return
    allowed = max(form.accuracy_loss, _spared(form) / changes.pictures)
    chance = mcnemar_worse(changes.worse, changes.better)
    if changes.loss > allowed + 1e-9 or chance < SIGNIFICANT:
        link = "the resize inside it" if form.any_size else "the rounding of its weights"
        raise RecordError(
            f"{form.file}: accuracy {artifact.accuracy:.4f} on {changes.pictures} pictures, but "
            f"{artifact.accuracy + changes.loss:.4f} in the search: {changes.worse} became wrong "
            f"and {changes.better} right (loss at most {allowed:.4f} expected; McNemar p = "
            f"{chance:.2g}, at least {SIGNIFICANT:g} expected): the cause is {link}; leave this "
            "format out"
        )


def _require_rounding(artifact: Artifact, tolerance: float, rounding: float) -> None:
    """Raise RecordError if a file differs by more than rounding explains; otherwise log why it may
    differ by more than the tolerance.
    """
    form = artifact.row
    allowed = min(max(tolerance, ROUNDINGS * rounding), MOST * tolerance)
    differs = (
        f"{form.file}: the reloaded file differs from the network in memory by "
        f"{artifact.parity:.2g} in probability"
    )
    if not artifact.parity <= allowed:
        raise RecordError(
            f"{differs} (allowed {allowed:.2g}): the conversion to {form.name} broke it"
        )
    log.warning(
        "%s, because this network amplifies rounding: its own probabilities change by %.2g when "
        "pixels change by a millionth",
        differs,
        rounding,
    )


def _spared(form: ExportFormat) -> int:
    """Return how many images any file may lose: more with a resize of its own, which moves more
    borderline images to another class.
    """
    return 2 if form.any_size else 1


def require_finite(form: ExportFormat, probabilities: Floats) -> None:
    """Raise RecordError if a file predicts values that are not finite."""
    if not np.isfinite(probabilities).all():
        raise RecordError(f"{form.file}: predicts NaN: the conversion broke it")

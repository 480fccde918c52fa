"""Whether a reloaded file is the trained model, by what both say of the validation pictures."""

from dataclasses import dataclass

import numpy as np

from tlsearch.base.array_types import Classes, Floats
from tlsearch.base.errors import RecordError
from tlsearch.bundle.manifest import Artifact
from tlsearch.config.catalog import ExportFormat
from tlsearch.results.rank.mcnemar import mcnemar_worse

SIGNIFICANT = 0.05


@dataclass(frozen=True)
class Changes:
    """Of `pictures`, how many the trained network alone calls right (`worse`), and how many the
    file alone does (`better`).
    """

    pictures: int
    worse: int = 0
    better: int = 0

    @classmethod
    def between(cls, labels: Classes, trained: Floats, found: Floats) -> "Changes":
        """From the probabilities, (n, classes), of both."""
        before, after = (p.argmax(axis=1) == labels for p in (trained, found))
        worse, better = (before & ~after).sum(), (after & ~before).sum()
        return cls(len(labels), int(worse), int(better))

    @property
    def loss(self) -> float:
        """How much lower the file's accuracy is."""
        return (self.worse - self.better) / self.pictures


def require_sound(artifact: Artifact, changes: Changes) -> None:
    """Raise RecordError where a file is not the trained model, naming the link that broke.

    A file that computes as the network does gives its probabilities. One that rounds weights, or
    resizes pictures itself, may lose only so much accuracy, and no significant number of pictures
    (McNemar's test, one-sided). A gain is no fault.
    """
    form = artifact.row
    if form.tolerance is not None and not artifact.parity <= form.tolerance:
        raise RecordError(
            f"{form.file}: the reloaded file differs from the network in memory by "
            f"{artifact.parity:.2g} in probability (allowed {form.tolerance:g}): the conversion to "
            f"{form.name} broke it"
        )
    if form.accuracy_loss is None:
        return
    allowed = max(form.accuracy_loss, _spared(form) / changes.pictures)
    chance = mcnemar_worse(changes.worse, changes.better)
    if changes.loss > allowed + 1e-9 or chance < SIGNIFICANT:
        link = "the resize inside it" if form.any_size else "the rounding of its weights"
        raise RecordError(
            f"{form.file}: accuracy {artifact.accuracy:.4f} on {changes.pictures} pictures, but "
            f"{artifact.accuracy + changes.loss:.4f} in the search: {changes.worse} became wrong "
            f"and {changes.better} right (allowed loss {allowed:.4f}, McNemar p = {chance:.2g}, "
            f"allowed from {SIGNIFICANT:g}): {link} broke it"
        )


def _spared(form: ExportFormat) -> int:
    """Pictures that any file may lose: a resize of its own moves more of them over an edge."""
    return 2 if form.any_size else 1


def require_finite(form: ExportFormat, probabilities: Floats) -> None:
    """Raise RecordError where a file predicts what are no numbers."""
    if not np.isfinite(probabilities).all():
        raise RecordError(f"{form.file}: predicts what are no numbers: the conversion broke it")

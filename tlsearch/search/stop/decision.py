"""What a stopping rule decided of a trial, and on what grounds."""

from dataclasses import dataclass

from tlsearch.config.catalog import Direction


@dataclass(frozen=True)
class Decision:
    """To stop a trial or to let it go on, on comparing its value with others' at an epoch.

    `cutoff` is None where there was nothing to compare with; `seen` counts the trials compared,
    `place` says in words where this one stands among them.
    """

    trial: int
    epoch: int
    value: float
    cutoff: float | None
    seen: int
    place: str
    stopped: bool
    direction: Direction

    def __str__(self) -> str:
        what = "stopped" if self.stopped else "went on"
        if self.cutoff is None:
            return f"{what} at epoch {self.epoch}: {self.value:.4g}, {self.place}"
        values = f"{self.value:.4g} {self._sign} {self.cutoff:.4g}"
        return f"{what} at epoch {self.epoch}: {values}, {self.place}"

    @property
    def _sign(self) -> str:
        if self.stopped and self.value == self.cutoff:  # of equals the earlier trial is promoted
            return "="
        worse, otherwise = ("<", ">=") if self.direction is Direction.MAX else (">", "<=")
        return worse if self.stopped else otherwise

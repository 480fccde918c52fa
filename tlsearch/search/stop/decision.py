"""The decision of a stopping rule on a trial, with its reason."""

from dataclasses import dataclass

from tlsearch.config.catalog import Direction


@dataclass(frozen=True)
class Decision:
    """The decision to stop a trial or let it go on, from comparing its value at an epoch with
    others.

    `cutoff` is None if there was nothing to compare with. `seen` counts the trials compared.
    `place` describes the trial's place among them in words.
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
        if self.stopped and self.value == self.cutoff:  # a tie: the earlier trial was promoted
            return "="
        worse, otherwise = ("<", ">=") if self.direction is Direction.MAX else (">", "<=")
        return worse if self.stopped else otherwise

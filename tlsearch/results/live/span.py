"""Uncertain durations, as ranges that people read."""

from dataclasses import dataclass

APART = 1.5  # ratio of the upper end of a range to the lower end


@dataclass(frozen=True)
class Span:
    """A range of an uncertain duration, in seconds."""

    low: float
    high: float

    @classmethod
    def around(cls, seconds: float) -> "Span":
        """Return the range around a duration: its upper end is `APART` times its lower end, and the
        duration is their geometric mean.
        """
        return cls(seconds / APART**0.5, seconds * APART**0.5)

    def __str__(self) -> str:
        if self.high < 120:
            return f"{self.low:.0f} to {self.high:.0f} s"
        if self.high < 7200:
            return f"{self.low / 60:.0f} to {self.high / 60:.0f} min"
        return f"{self.low / 3600:.1f} to {self.high / 3600:.1f} h"

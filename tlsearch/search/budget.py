"""The time budget of a study over all its drivers, and the time spent so far."""

import time
from collections.abc import Callable

from tlsearch.results.rank.confirmation import trials_budget_s
from tlsearch.results.record.journal import SPENT


class Budget:
    """The time budget of a study: `whole_s` seconds in all, None for no limit.

    Earlier drivers spent `spent_before_s` of them. While trials run, the limit leaves time to
    confirm the winner, if the study `confirms` it.
    """

    def __init__(
        self,
        whole_s: float | None = None,
        spent_before_s: float = 0.0,
        confirms: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.trials_over = False
        self.export_began_s: float | None = None  # of `driver_s`
        self._whole_s = whole_s
        self._trials_s = trials_budget_s(whole_s, spent_before_s, confirms)
        self._clock, self._began, self._before_s = clock, clock(), spent_before_s

    @property
    def spent_s(self) -> float:
        """Seconds that the study has taken so far, including those of earlier drivers."""
        return self._before_s + self.driver_s

    @property
    def driver_s(self) -> float:
        """Seconds that this driver has taken of them."""
        return self._clock() - self._began

    @property
    def facts(self) -> dict[str, float]:
        """The seconds spent, as a fact for the journal."""
        return {SPENT: round(self.spent_s, 1)}

    @property
    def used_up(self) -> bool:
        """Whether the time for the current stage (the trials, or the steps after them) is over."""
        limit_s = self._whole_s if self.trials_over else self._trials_s
        return limit_s is not None and self.spent_s >= limit_s

    def end_trials(self) -> None:
        """Note that the trials have ended: the steps after them may take all the remaining time."""
        self.trials_over = True

    def begin_export(self) -> None:
        """Note that confirming has ended and the export begins."""
        self.export_began_s = self.driver_s

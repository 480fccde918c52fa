"""The phases that have begun and not ended, from the events that tell of them."""

from collections.abc import Callable
from dataclasses import replace

from tlsearch.base.phases import Phase

IDLE = "working"  # what is told between phases; it neither begins nor ends


class OpenPhases:
    """Follows phases of the command itself and of its workers; `clock` gives seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._open: dict[tuple[str, str], tuple[Phase, float]] = {}  # with the time of its begin

    def follow(self, phase: Phase) -> Phase:
        """Take up an event; the event with the larger of the counts of the process that waits and
        the process that works.

        The end of a phase of the command ends those of its workers too: one that was lost ends
        none. A count of the command that comes after its phase has ended opens no phase.
        """
        known = None if phase.state == "began" else self._open.get(phase.key)
        before, began = known or (phase, self._clock() - phase.seconds)
        told = replace(phase, done=max(phase.done, before.done))
        if not phase.subject:
            self._open.pop((IDLE, ""), None)
        if phase.state == "ended":
            self._open.pop(phase.key, None)
            self.forget(lambda subject: bool(subject) and not phase.subject)
        elif known or phase.state == "began" or phase.subject or phase.name == IDLE:
            self._open[phase.key] = told, began
        return told

    def forget(self, which: Callable[[str], bool] = lambda subject: True) -> None:
        """Take the phases of some subjects, by default all, as ended."""
        self._open = {key: one for key, one in self._open.items() if not which(key[1])}

    def now(self) -> list[Phase]:
        """The open phases as of now: those of the command itself, the innermost last, then those of
        its workers.
        """
        found = [*self._open.values()]  # another thread may go on
        found.sort(key=lambda one: bool(one[0].subject))
        return [
            replace(phase, state="going", seconds=round(self._clock() - began, 3))
            for phase, began in found
        ]

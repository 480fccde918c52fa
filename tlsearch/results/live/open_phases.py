"""The phases that have begun but not ended, tracked from their events."""

from collections.abc import Callable
from dataclasses import replace

from tlsearch.base.phases import Phase

IDLE = "working"  # the name reported between phases; it neither begins nor ends


class OpenPhases:
    """The open phases of the command itself and of its workers; `clock` returns seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._open: dict[tuple[str, str], tuple[Phase, float]] = {}  # and its start time

    def follow(self, phase: Phase) -> Phase:
        """Apply a phase event, and return it with the largest count seen so far.

        The process that waits for a phase and the process that does the work may both count it.
        When a phase of the command ends, all phases of its workers end too, because a lost worker
        ends none of its own. A count of the command that arrives after its phase has ended does not
        open the phase again.
        """
        known = None if phase.state == "began" else self._open.get(phase.key)
        before, began = known or (phase, self._clock() - phase.seconds)
        latest = replace(phase, done=max(phase.done, before.done))
        if not phase.subject:
            self._open.pop((IDLE, ""), None)
        if phase.state == "ended":
            self._open.pop(phase.key, None)
            self.forget(lambda subject: bool(subject) and not phase.subject)
        elif known or phase.state == "began" or phase.subject or phase.name == IDLE:
            self._open[phase.key] = latest, began
        return latest

    def forget(self, which: Callable[[str], bool] = lambda subject: True) -> None:
        """Treat the phases of some subjects, by default all, as ended."""
        self._open = {key: one for key, one in self._open.items() if not which(key[1])}

    def current(self) -> list[Phase]:
        """Return the open phases with their current durations: those of the command itself, with
        the innermost last, then those of its workers.
        """
        found = [*self._open.values()]  # a copy: another thread may change the phases
        found.sort(key=lambda one: bool(one[0].subject))
        return [
            replace(phase, state="going", seconds=round(self._clock() - began, 3))
            for phase, began in found
        ]

"""Phases of long work and their progress, reported to the listener of the current context.

The code that does the work opens a phase and counts; it need not know who listens.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

T = TypeVar("T")

REPORT_EVERY_S = 0.5  # counts in between are not reported


@dataclass(frozen=True)
class Phase:
    """The progress of a phase that began, is going on, or ended.

    `done` of `total` units are done; `total` is None if it is unknown. `seconds` is the time since
    the phase began, by the clock of the process that does the work. `subject` names what the phase
    belongs to, such as "trial 3"; it is empty for a phase of the whole command.
    """

    name: str
    state: Literal["began", "going", "ended"]
    done: int = 0
    total: int | None = None
    unit: str = ""
    subject: str = ""
    seconds: float = 0.0

    def __str__(self) -> str:
        what = " ".join(filter(None, (self.name, self.subject)))
        if self.state == "ended":
            return f"{what}: {self.count or 'done'} in {self.seconds:.1f} s"
        if self.state == "began":
            return f"{what}: begins" if self.total is None else f"{what}: {self.count}"
        return f"{what}: " + ", ".join(filter(None, (self.count, f"{self.seconds:.0f} s")))

    @property
    def count(self) -> str:
        """The count in words; "" if nothing is counted."""
        if self.total is not None:
            return f"{self.done} of {self.total} {self.unit}".strip()
        return f"{self.done} {self.unit}".strip() if self.done else ""

    @property
    def key(self) -> tuple[str, str]:
        """The identity of the phase among those that are open at the same time."""
        return self.name, self.subject


Hear = Callable[[Phase], object]
_HEARD: ContextVar[tuple[Hear, str] | None] = ContextVar("phases", default=None)


@contextmanager
def heard_by(hear: Hear, subject: str = "") -> Iterator[None]:
    """Make `hear` the listener for all phases of the block, which belong to `subject`."""
    token = _HEARD.set((hear, subject))
    try:
        yield
    finally:
        _HEARD.reset(token)


def current_listener() -> Hear:
    """Return the listener of this context, to pass on to a new thread, which would have none."""
    heard = _HEARD.get()
    return _unheard if heard is None else heard[0]


class Counter:
    """The count of a phase, which only grows; reported at most twice a second and at its total."""

    def __init__(self, phase: Phase, hear: Hear, clock: Callable[[], float]) -> None:
        self._phase, self._hear, self._clock = phase, hear, clock
        self._began = self._reported_s = clock()

    def advance(self, count: int = 1) -> None:
        """Count `count` more units as done."""
        self.reach(self._phase.done + count)

    def reach(self, done: int) -> None:
        """Set the number of units done in all; a smaller number is ignored."""
        self._phase = replace(self._phase, done=max(done, self._phase.done))
        now = self._clock()
        if now - self._reported_s >= REPORT_EVERY_S or self._phase.done == self._phase.total:
            self._reported_s = now
            self.report("going")

    def report(self, state: Literal["began", "going", "ended"]) -> None:
        """Report the current count to the listener."""
        seconds = round(self._clock() - self._began, 3)
        self._hear(replace(self._phase, state=state, seconds=seconds))


@contextmanager
def phase(
    name: str,
    total: int | None = None,
    unit: str = "",
    subject: str = "",
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Counter]:
    """Open a phase for the duration of the block; `subject` defaults to that of the context."""
    with _within(subject):
        counter = phase_counter(name, total, unit, clock)
        counter.report("began")
        try:
            yield counter
        finally:
            counter.report("ended")


def phase_counter(
    name: str,
    total: int | None = None,
    unit: str = "",
    clock: Callable[[], float] = time.monotonic,
) -> Counter:
    """Return a counter for a phase that the caller or a parent process has opened."""
    hear, subject = _HEARD.get() or (_unheard, "")
    return Counter(Phase(name, "going", 0, total, unit, subject), hear, clock)


def counting_each(items: Iterable[T], counter: Counter) -> Iterator[T]:
    """Yield the items, counting each one when the caller asks for the next."""
    for item in items:
        yield item
        counter.advance()


@contextmanager
def _within(subject: str) -> Iterator[None]:
    heard = _HEARD.get()
    if heard is None or not subject:
        yield
        return
    with heard_by(heard[0], subject):
        yield


def _unheard(phase: Phase) -> None:
    """Ignore a phase; the listener of a context that set none."""

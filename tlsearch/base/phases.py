"""Phases of long work and how far they are, told to whoever listens in this context.

The code that does the work opens a phase and counts; it need not know who hears of it.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

T = TypeVar("T")

TELL_EVERY_S = 0.5  # counts in between are not told


@dataclass(frozen=True)
class Phase:
    """A phase that began, goes on or ended, with its count.

    `done` of `total` units are done; `total` is None where it is not known. `seconds` is the time
    since the phase began, by the clock of the process that works. `subject` says what the phase
    belongs to, as in "trial 3"; it is empty for a phase of the whole command.
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
        """The count in words; "" where nothing is counted."""
        if self.total is not None:
            return f"{self.done} of {self.total} {self.unit}".strip()
        return f"{self.done} {self.unit}".strip() if self.done else ""

    @property
    def key(self) -> tuple[str, str]:
        """What tells the phase from others at the same time."""
        return self.name, self.subject


Hear = Callable[[Phase], object]
_HEARD: ContextVar[tuple[Hear, str] | None] = ContextVar("phases", default=None)


@contextmanager
def heard_by(hear: Hear, subject: str = "") -> Iterator[None]:
    """Have `hear` told of every phase within the block, which belongs to `subject`."""
    token = _HEARD.set((hear, subject))
    try:
        yield
    finally:
        _HEARD.reset(token)


def listener() -> Hear:
    """Who hears of phases here; in a thread of this context's own making, nobody would."""
    heard = _HEARD.get()
    return _unheard if heard is None else heard[0]


class Counter:
    """The count of a phase: it only grows, and is told twice a second at most."""

    def __init__(self, phase: Phase, hear: Hear, clock: Callable[[], float]) -> None:
        self._phase, self._hear, self._clock = phase, hear, clock
        self._began = self._told = clock()

    def advance(self, count: int = 1) -> None:
        """So many more units are done."""
        self.reach(self._phase.done + count)

    def reach(self, done: int) -> None:
        """So many units are done in all."""
        self._phase = replace(self._phase, done=max(done, self._phase.done))
        now = self._clock()
        if now - self._told >= TELL_EVERY_S or self._phase.done == self._phase.total:
            self._told = now
            self.tell("going")

    def tell(self, state: Literal["began", "going", "ended"]) -> None:
        """Tell the count as it stands."""
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
    """A phase that lasts as long as the block; without `subject` it belongs to what is around."""
    with _within(subject):
        counter = counting(name, total, unit, clock)
        counter.tell("began")
        try:
            yield counter
        finally:
            counter.tell("ended")


def counting(
    name: str,
    total: int | None = None,
    unit: str = "",
    clock: Callable[[], float] = time.monotonic,
) -> Counter:
    """The count of a phase that is open elsewhere, as in the process that waits for this one."""
    hear, subject = _HEARD.get() or (_unheard, "")
    return Counter(Phase(name, "going", 0, total, unit, subject), hear, clock)


def counting_each(items: Iterable[T], counter: Counter) -> Iterator[T]:
    """The items, each counted once it is done with."""
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
    """Nobody listens."""

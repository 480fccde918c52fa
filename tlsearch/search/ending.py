"""Why a search ends before its last trial: the user, the clock, a perfect score, or an error."""

import contextlib
import signal
from collections.abc import Callable, Iterator, Mapping
from types import FrameType
from typing import Any

from tlsearch.base import errors
from tlsearch.base.errors import (
    HungUpError,
    SearchInterruptedError,
    StudyError,
    TlsearchError,
)
from tlsearch.base.files import disk_error
from tlsearch.base.terminal import leave_closed_terminal

SAME_FAILURES = 3


class Ending:
    """Why a search ends, as soon as there is a reason: `interrupted`, `error`, `enough` (no trial
    can be better) or `out_of_time`; of several errors the first is kept.

    `place` is the study's directory, as a command names it.
    """

    def __init__(
        self, place: str = "DIR", on_interrupt: Callable[[], object] = lambda: None
    ) -> None:
        self._place, self._on_interrupt = place, on_interrupt
        self.out_of_time = False
        self.enough: str | None = None
        self.interrupted: SearchInterruptedError | None = None
        self.error: TlsearchError | None = None

    @property
    def cut_short(self) -> bool:
        """Whether the search ended without a result that should be exported."""
        return self.interrupted is not None or self.error is not None

    @property
    def over(self) -> bool:
        """Whether no further trial is to be trained, whatever time is left."""
        return self.cut_short or self.enough is not None

    @property
    def why(self) -> str:
        """The end in a few words."""
        if self.error is not None:
            return "failed"
        if self.interrupted is not None:
            return "interrupted"
        return "out of time" if self.out_of_time else "finished"

    def interrupt(self, number: int = signal.SIGINT) -> None:
        """The user ends the search, by a signal; the trials so far will be ranked."""
        kind = HungUpError if number == signal.SIGHUP else SearchInterruptedError
        self.interrupted = kind(f"interrupted; `tlsearch resume {self._place}` goes on")
        self._on_interrupt()

    def suffice(self, reason: str) -> None:
        """No further trial can be better; the best is confirmed and exported."""
        self.enough = self.enough or reason

    def fail(self, error: TlsearchError) -> None:
        """The search cannot go on."""
        self.error = self.error or error

    @contextlib.contextmanager
    def on_full_disk(self) -> Iterator[None]:
        """Have a full disk end the block and the search, whose trials so far will be ranked."""
        try:
            yield
        except OSError as error:
            told = disk_error(error)
            if told is None:
                raise
            self.fail(told)


class Failures:
    """The failures of a search's trials: which of them end the search.

    A fatal one does, since no other trial would fare better; so do the first three trials if all of
    them fail at the same place.
    """

    def __init__(self) -> None:
        self._first: list[str] = []  # where the first trials failed
        self._sound = False

    def take(self, result: Mapping[str, Any]) -> TlsearchError | None:
        """Take a trial's result; the error that ends the search, if it does."""
        where, text = result.get("failure_at"), result.get("failure")
        if text is None:
            self._sound = True
            return None
        if result["fatal"]:
            return _as_error(str(where), text)
        self._first.append(str(where))
        if self._sound or len(self._first) != SAME_FAILURES or len({*self._first}) > 1:
            return None
        return StudyError(f"the first {SAME_FAILURES} trials all failed in the same way:\n{text}")


def _as_error(name: str, text: str) -> TlsearchError:
    """What a worker raised, by the name of its class, with its own exit code."""
    kind = getattr(errors, name, StudyError)
    error: TlsearchError = kind([text]) if kind is errors.ConfigError else kind(text)
    return error


@contextlib.contextmanager
def signals(ending: Ending) -> Iterator[None]:
    """Let Ctrl-C, SIGTERM and SIGHUP end the search cleanly; a second one ends it at once.

    SIGHUP stays ignored where it is, as under `nohup`.
    """

    def handle(number: int, frame: FrameType | None) -> None:
        if number == signal.SIGHUP:
            leave_closed_terminal()
        if ending.interrupted is not None:
            raise KeyboardInterrupt
        ending.interrupt(number)

    try:
        before = {number: signal.signal(number, handle) for number in ending_signals()}
    except ValueError:  # not in the main thread: signals are somebody else's business
        yield
        return
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def ending_signals() -> list[signal.Signals]:
    """The signals that end a search; without SIGHUP where it is ignored."""
    hung_up = [] if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN else [signal.SIGHUP]
    return [signal.SIGINT, signal.SIGTERM, *hung_up]

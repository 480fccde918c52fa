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
    """The reason why a search ends, once there is one: `interrupted`, `error`, `enough` (no trial
    can be better) or `out_of_time`.

    If there are several errors, the first is kept. `location` is the study's directory, quoted for
    a shell. `on_interrupt` is called when the user interrupts the search.
    """

    def __init__(
        self, location: str = "DIR", on_interrupt: Callable[[], object] = lambda: None
    ) -> None:
        self._location, self._on_interrupt = location, on_interrupt
        self.out_of_time = False
        self.enough: str | None = None
        self.interrupted: SearchInterruptedError | None = None
        self.error: TlsearchError | None = None

    @property
    def cut_short(self) -> bool:
        """Whether the user or an error ended the search, so that nothing is exported."""
        return self.interrupted is not None or self.error is not None

    @property
    def over(self) -> bool:
        """Whether no further trial should be trained, even if time is left."""
        return self.cut_short or self.enough is not None

    @property
    def why(self) -> str:
        """The reason in a few words."""
        if self.error is not None:
            return "failed"
        if self.interrupted is not None:
            return "interrupted"
        return "out of time" if self.out_of_time else "finished"

    def interrupt(self, number: int = signal.SIGINT) -> None:
        """Interrupt the search because the user sent a signal; the trials so far are ranked."""
        kind = HungUpError if number == signal.SIGHUP else SearchInterruptedError
        self.interrupted = kind(f"interrupted; `tlsearch resume {self._location}` continues it")
        self._on_interrupt()

    def end_as_perfect(self, reason: str) -> None:
        """End the search because no trial can be better; the best is confirmed and exported."""
        self.enough = self.enough or reason

    def fail(self, error: TlsearchError) -> None:
        """End the search because of an error."""
        self.error = self.error or error

    @contextlib.contextmanager
    def on_disk_error(self) -> Iterator[None]:
        """End the block and the search if a file cannot be written, as on a full or read-only disk;
        the trials so far are ranked.
        """
        try:
            yield
        except OSError as error:
            found = disk_error(error)
            if found is None:
                raise
            self.fail(found)


class Failures:
    """The failed trials of a search, and whether they end it.

    A fatal failure does, since every other trial would fail as well. So do the failures of the
    first three trials, if all of them failed at the same place in the code.
    """

    def __init__(self) -> None:
        self._first: list[str] = []  # where the first trials failed
        self._sound = False

    def take(self, result: Mapping[str, Any]) -> TlsearchError | None:
        """Take a trial's result; return the error that ends the search, or None if it goes on."""
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
    """The error that a worker raised, rebuilt from the name of its class, which sets the exit code.

    An unknown name gives a StudyError.
    """
    kind = getattr(errors, name, StudyError)
    error: TlsearchError = kind([text]) if kind is errors.ConfigError else kind(text)
    return error


@contextlib.contextmanager
def end_on_signals(ending: Ending) -> Iterator[None]:
    """Make Ctrl-C, SIGTERM and SIGHUP end the search cleanly; a second signal ends it at once.

    SIGHUP stays ignored if it already is, as under `nohup`.
    """

    def handle(number: int, frame: FrameType | None) -> None:
        if number == signal.SIGHUP:
            leave_closed_terminal()
        if ending.interrupted is not None:
            raise KeyboardInterrupt
        ending.interrupt(number)

    try:
        before = {number: signal.signal(number, handle) for number in ending_signals()}
    except ValueError:  # outside the main thread Python cannot set signal handlers
        yield
        return
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def ending_signals() -> list[signal.Signals]:
    """Return the signals that end a search; SIGHUP is not among them if it is ignored."""
    hung_up = [] if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN else [signal.SIGHUP]
    return [signal.SIGINT, signal.SIGTERM, *hung_up]

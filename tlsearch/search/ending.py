"""Why a search ends before its last trial: the user, the clock, a perfect score, or the same bug
again and again.
"""

import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from ray.tune import Stopper

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
NOTE_EVERY_S = 10.0  # what a killed driver forgets of the time that it spent, at most


class Ending(Stopper):
    """Ray's stopper: asked after every event whether the whole search is over.

    Trials cut short by it are not told to the sampler; `resume` takes them up again. `budget_s` is
    the study's, over all its drivers; those before spent `spent_before_s` of it. `place` is the
    study's directory, as a command names it.
    """

    def __init__(
        self,
        budget_s: float | None,
        clock: Callable[[], float] = time.monotonic,
        on_interrupt: Callable[[], object] = lambda: None,
        spent_before_s: float = 0.0,
        place: str = "DIR",
    ) -> None:
        self._clock = clock
        self._on_interrupt = on_interrupt
        self._place = place
        self.budget_s = budget_s
        self._spent_before_s = spent_before_s
        self._began = self._noted = clock()
        self._note: Callable[[float], object] = lambda spent_s: None
        self._failures: list[tuple[str, str]] = []
        self._sound = self._trials_over = False
        self.out_of_time = False
        self.enough: str | None = None
        self.interrupted: SearchInterruptedError | None = None
        self.error: TlsearchError | None = None

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """No trial is stopped by itself; look only whether it failed as all others before it."""
        if result.get("failure") is None:
            self._sound = True
        else:
            self._note_failure(result["failure_at"], result["failure"], result["fatal"])
        return False

    def __getstate__(self) -> dict[str, Any]:
        """Nothing for Ray to pickle: it would take the user's listener along."""
        return {}

    def stop_all(self) -> bool:
        """Whether to end the search now."""
        late = self.budget_s is not None and self.spent_s >= self.budget_s
        if late and not self._trials_over:
            self.out_of_time = True
        if self._clock() - self._noted >= NOTE_EVERY_S:
            self.note_spent()
        return late or self.enough is not None or self.cut_short

    def end_trials(self, budget_s: float | None) -> None:
        """The trials have come to their end; what follows has all of the study's budget."""
        self._trials_over, self.budget_s = True, budget_s

    @property
    def spent_s(self) -> float:
        """Seconds that the study took so far, those of earlier drivers too."""
        return self._spent_before_s + self._clock() - self._began

    def keep_spent(self, note: Callable[[float], object]) -> None:
        """Have `note` called with the seconds spent, now and then, as long as the search lasts."""
        self._note = note

    def note_spent(self) -> None:
        """Note the seconds spent now."""
        self._noted = self._clock()
        self._note(round(self.spent_s, 1))

    @property
    def cut_short(self) -> bool:
        """Whether the search ended without a result that should be exported."""
        return self.interrupted is not None or self.error is not None

    def interrupt(self, number: int = signal.SIGINT) -> None:
        """The user wants the search to end, by a signal; what is done will be ranked."""
        kind = HungUpError if number == signal.SIGHUP else SearchInterruptedError
        self.interrupted = kind(f"interrupted; `tlsearch resume {self._place}` goes on")
        self._on_interrupt()

    def suffice(self, reason: str) -> None:
        """No further trial can be better; the best is confirmed and exported."""
        self.enough = self.enough or reason

    def fail(self, error: TlsearchError) -> None:
        """The search cannot go on; of several reasons the first is told."""
        self.error = self.error or error

    @contextlib.contextmanager
    def on_full_disk(self) -> Iterator[None]:
        """Have a disk that takes no more end the block, and the search with what is done ranked."""
        try:
            yield
        except OSError as error:
            told = disk_error(error)
            if told is None:
                raise
            self.fail(told)

    def _note_failure(self, where: str, text: str, fatal: bool) -> None:
        self._failures.append((where, text))
        if fatal:
            self.error = self.error or _as_error(where, text)
            return
        first = self._failures[:SAME_FAILURES]
        if not self._sound and len(first) == SAME_FAILURES and len({at for at, _ in first}) == 1:
            message = f"the first {SAME_FAILURES} trials all failed in the same way:\n{text}"
            self.error = self.error or StudyError(message)


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

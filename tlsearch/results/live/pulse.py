"""The heartbeat of a search: it reports at least every two seconds, whatever it does."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tlsearch.base.phases import Phase, heard_by
from tlsearch.results.live.events import Event, Listen
from tlsearch.results.live.open_phases import IDLE, OpenPhases

BEAT_S = 0.6  # the longest time without a phase event, plus up to `LOOK_S`
LOOK_S = 0.2  # between two checks


class Pulse:
    """Passes events to a listener, and repeats the current phase if none was reported for a while.

    The listener receives one event at a time, from any thread. If both the process that waits for a
    phase and the process that does the work report it, the phase ends with the larger count.
    """

    def __init__(self, listen: Listen, clock: Callable[[], float] = time.monotonic) -> None:
        self._listen, self._clock = listen, clock
        self._lock = threading.RLock()  # reentrant: a signal handler may send an event, too
        self._open = OpenPhases(clock)
        self._idle_since = self._reported_s = clock()

    def hear(self, event: Event) -> None:
        """Pass an event to the listener."""
        with self._lock:
            if isinstance(event, Phase):
                event = self._open.follow(event)
                self._reported_s = self._clock()
                self._idle_since = self._reported_s if event.state == "ended" else self._idle_since
            self._listen(event)

    def beat(self) -> None:
        """Report the current phase of the command if no phase was reported for `BEAT_S`."""
        with self._lock:
            now = self._clock()
            if now - self._reported_s >= BEAT_S:
                self._reported_s = now
                self._listen(self._current(now))

    def _current(self, now: float) -> Phase:
        """The innermost open phase of the command itself, or the idle phase if none is open."""
        own = [one for one in self._open.current() if not one.subject]
        return own[-1] if own else Phase(IDLE, "going", seconds=round(now - self._idle_since, 3))


@contextmanager
def heartbeat(listen: Listen) -> Iterator[Listen]:
    """Report all phases of the block to a listener, with a heartbeat about every `BEAT_S`.

    Yields the function that the block passes its own events to.
    """
    pulse, over = Pulse(listen), threading.Event()

    def beat() -> None:
        while not over.wait(LOOK_S):
            pulse.beat()

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        with heard_by(pulse.hear):
            yield pulse.hear
    finally:
        over.set()
        thread.join()

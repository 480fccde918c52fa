"""A heartbeat: a search is heard of at least every two seconds, whatever it does."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tlsearch.base.phases import Phase, heard_by
from tlsearch.results.live.events import Event, Listen
from tlsearch.results.live.open_phases import IDLE, OpenPhases

BEAT_S = 0.6  # between two events of a phase at most, but for `LOOK_S`
LOOK_S = 0.2


class Pulse:
    """Passes events on, one at a time, and tells of the open phase again where it is silent.

    The listener hears one event at a time, from whichever thread. A phase whose process that
    waits and process that works both tell of it ends with the larger count.
    """

    def __init__(self, listen: Listen, clock: Callable[[], float] = time.monotonic) -> None:
        self._listen, self._clock = listen, clock
        self._lock = threading.RLock()  # a signal's handler tells of it, too
        self._open = OpenPhases(clock)
        self._idle_since = self._told = clock()

    def hear(self, event: Event) -> None:
        """Pass an event on."""
        with self._lock:
            if isinstance(event, Phase):
                event = self._open.follow(event)
                self._told = self._clock()
                self._idle_since = self._told if event.state == "ended" else self._idle_since
            self._listen(event)

    def beat(self) -> None:
        """Tell of the phase that the command itself is in, if no phase was told of lately."""
        with self._lock:
            now = self._clock()
            if now - self._told >= BEAT_S:
                self._told = now
                self._listen(self._current(now))

    def _current(self, now: float) -> Phase:
        """The innermost open phase of the command itself."""
        own = [one for one in self._open.now() if not one.subject]
        return own[-1] if own else Phase(IDLE, "going", seconds=round(now - self._idle_since, 3))


@contextmanager
def beating(listen: Listen) -> Iterator[Listen]:
    """Have the listener hear of all phases of the block, at least every `BEAT_S`."""
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

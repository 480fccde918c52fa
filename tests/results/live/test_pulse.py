"""Progress is never silent for two seconds: the heartbeat and the lines written for it."""

import itertools
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlsearch.base.phases import Phase, heard_by, phase
from tlsearch.config.catalog import Direction
from tlsearch.results.live.events import EpochReported, StudyBegan, TrialBegan
from tlsearch.results.live.progress import line_listener
from tlsearch.results.live.pulse import BEAT_S, IDLE, LOOK_S, Pulse, heartbeat

CONFIG = {"backbone": "strokes", "unfrozen_layers": 15}
BEGAN = StudyBegan("/runs/pets", "pets", "accuracy", Direction.MAX, trials=20, epochs=6, slots=2)
EXPORTING = Phase("exporting", "began", 0, 3, "formats")


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_a_silent_phase_is_told_again_with_the_seconds_since(clock):
    heard = []
    pulse = Pulse(heard.append, clock)
    pulse.hear(EXPORTING)
    clock.now = BEAT_S / 2
    pulse.beat()
    assert heard == [EXPORTING]
    clock.now = 130.0
    pulse.beat()
    assert heard[1:] == [Phase("exporting", "going", 0, 3, "formats", "", 130.0)]


def test_the_innermost_phase_of_the_command_is_told_and_none_of_a_worker(clock):
    heard = []
    pulse = Pulse(heard.append, clock)
    for name, subject in (("trials", ""), ("measuring", ""), ("tracing", "trial 3")):
        pulse.hear(Phase(name, "began", subject=subject))
    clock.now = 1.0
    pulse.beat()
    assert heard[-1].name == "measuring"
    pulse.hear(Phase("measuring", "ended"))
    clock.now = 2.0
    pulse.beat()
    assert heard[-1].name == "trials"


def test_between_phases_it_is_told_that_the_command_works(clock):
    heard = []
    pulse = Pulse(heard.append, clock)
    clock.now = 1.5
    pulse.beat()
    assert heard == [Phase(IDLE, "going", seconds=1.5)]


def test_a_phase_ends_with_the_count_of_the_process_that_works(clock):
    heard = []
    pulse = Pulse(heard.append, clock)
    pulse.hear(EXPORTING)
    pulse.hear(Phase("exporting", "going", 2, 3, "formats"))
    pulse.hear(Phase("exporting", "ended", 0, 3, "formats", "", 9.0))
    assert (heard[-1].state, heard[-1].done, heard[-1].seconds) == ("ended", 2, 9.0)


def test_phases_and_beats_reach_the_listener_from_the_first_to_the_last():
    heard = []
    with heartbeat(heard.append) as listen, phase("starting"):
        listen(BEGAN)
        until = time.monotonic() + 30
        while len(heard) < 3 and time.monotonic() < until:
            time.sleep(LOOK_S)
    assert heard[:2] == [Phase("starting", "began"), BEGAN]
    assert {one.state for one in heard[2:-1]} == {"going"}
    assert heard[-1].state == "ended"
    before = len(heard)
    with heard_by(lambda event: None), phase("later"):
        pass
    assert len(heard) == before


WORK = st.lists(
    st.tuples(
        st.floats(0.0, 12.0),
        st.sampled_from(
            [
                EXPORTING,
                Phase("exporting", "going", 1, 3, "formats"),
                Phase("exporting", "ended", 3, 3, "formats"),
                Phase("tracing", "began", subject="trial 3"),
                Phase("tracing", "going", 1, 2, "graphs", "trial 3"),
                TrialBegan(3, CONFIG),
                EpochReported(3, 2, 0.5, False),
                BEGAN,
            ]
        ),
    ),
    max_size=12,
)


@given(WORK)
def test_no_two_lines_of_any_stream_are_two_seconds_apart(work):
    clock, at = Clock(), [0.0]
    listen = line_listener(lambda text: at.append(clock.now), clock)
    pulse = Pulse(listen, clock)
    for silent_s, event in work:
        until = clock.now + silent_s
        while clock.now + LOOK_S < until:
            clock.now += LOOK_S  # like the thread's loop
            pulse.beat()
        clock.now = until
        pulse.hear(event)
    at.append(clock.now)
    assert max(later - earlier for earlier, later in itertools.pairwise(at)) < 2.0


def test_a_search_of_an_hour_writes_at_most_a_line_a_second(clock):
    written = []
    pulse = Pulse(line_listener(written.append, clock), clock)
    pulse.hear(BEGAN)
    pulse.hear(Phase("trials", "began", 0, 20, "trials"))
    for _ in range(int(3600 / LOOK_S)):
        clock.now += LOOK_S
        pulse.hear(EpochReported(3, 2, 0.5, False))
        pulse.beat()
    assert len(written) <= 3600
    assert written[2].startswith("trials: 0 of 20 trials, ")
    assert written[2].endswith("; trial 3 epoch 2")

"""The time left in a search is learned from its trials, with a clock passed as an argument."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlsearch.base.phases import Phase
from tlsearch.config.catalog import Direction
from tlsearch.results.live.events import (
    EpochReported,
    Forecast,
    StudyBegan,
    TrialEnded,
)
from tlsearch.results.live.span import APART, Span
from tlsearch.results.live.time_left import SCALED, TRIALS, TimeLeft, next_trial_s

BEGAN = StudyBegan("/runs/pets", "pets", "accuracy", Direction.MAX, trials=12, epochs=4, slots=1)
ENDED = TrialEnded(0, "finished", "", {}, 0.9, 4, 4, 0.0, 1, 12, None, None)
START_S = 9.0  # starting Ray and the first worker, before any trial trains
seconds = st.floats(0.01, 1e4)


class World:
    """A search on one slot whose trials of kind k take `costs[k]` seconds."""

    def __init__(self, costs, forecast=None):
        self.now, self.costs, self.ended = 0.0, costs, 0
        self.left = TimeLeft(lambda: self.now)
        self.left.hear(BEGAN)
        if forecast is not None:
            self.left.hear(forecast)
        self.now += START_S

    def train(self, kind, value=0.9):
        for epoch in range(BEGAN.epochs + 1):
            self.left.hear(EpochReported(self.ended, epoch, 0.5, rung=False))
            self.now += self.costs[kind] / BEGAN.epochs if epoch < BEGAN.epochs else 0.0
        config, number = {"backbone": kind, "unfrozen_layers": 0}, self.ended
        self.ended += 1
        fields = {"trial": number, "config": config, "ended": self.ended, "value": value}
        self.left.hear(replace(ENDED, seconds=self.costs[kind], **fields))


@given(seconds)
def test_a_range_is_never_wider_than_it_says(about):
    span = Span.around(about)
    assert span.low <= about <= span.high
    assert span.high == pytest.approx(APART * span.low)


@given(st.lists(st.tuples(st.sampled_from("abc"), seconds), min_size=1, max_size=30))
def test_a_next_trial_takes_what_trials_took(ended):
    taken = [seconds for _, seconds in ended]
    assert min(taken) * 0.999 <= next_trial_s(ended) <= max(taken) * 1.001


def test_a_sampler_that_turns_to_a_costly_kind_is_followed():
    ended = [("a", 1.0), ("b", 9.0)] * 2 + [("b", 9.0)] * 4
    assert next_trial_s(ended) == 9.0  # not 7, the mean of all


@given(seconds, st.floats(1 / 3, 3.0))
def test_the_time_left_comes_true_however_wrong_the_forecast_was(cost, error):
    """Once half of the trials have ended, the actual time left lies in the range, until the end."""
    ended_by, end_s = BEGAN.trials * cost, 3 * cost
    world = World({"a": cost}, Forecast(error * ended_by, 48.0, 0, 0.0, end_s))
    for number in range(BEGAN.trials):
        if number >= BEGAN.trials // 2:
            actual = (BEGAN.trials - number) * cost + end_s
            span = world.left.span
            assert span.low <= actual <= span.high
        world.train("a")


@given(seconds)
def test_before_a_trial_ended_the_forecast_is_what_is_left(expected):
    world = World({"a": 1.0}, Forecast(expected, 48.0, 0, 2.0, 1.0))
    assert world.left.span.low == pytest.approx(Span.around(expected + 3.0).low)


def test_without_a_forecast_the_trials_alone_are_told():
    world = World({"a": 10.0})
    assert (world.left.span, str(world.left)) == (None, "")
    for _ in range(4):
        world.train("a")
    assert str(world.left) == "about 65 to 98 s of trials left"


def test_after_the_trials_what_follows_is_counted_down_and_no_time_is_told_beyond_it():
    world = World({"a": 10.0}, Forecast(120.0, 48.0, 0, 20.0, 30.0))
    for _ in range(BEGAN.trials):
        world.train("a")
    world.left.hear(Phase(TRIALS, "ended"))
    assert str(world.left) == "about 41 to 61 s left"
    world.now += 40
    assert str(world.left) == "about 8 to 12 s left"
    world.now += 20
    assert str(world.left) == ""


@given(seconds, seconds)
def test_confirming_takes_as_long_as_training_the_best_trials_again(best, round_s):
    whole_s = 2 * best  # the two best trials, on one slot
    world = World({"a": 10.0, "b": best}, Forecast(120.0, 48.0, 0, 40.0, 30.0, 0.0, 2, round_s))
    for number in range(BEGAN.trials):
        world.train(*(("b", 0.95) if number < 2 else ("a", 0.5)))
    world.left.hear(Phase(TRIALS, "ended"))
    scale = min(max(whole_s / round_s, 1 / SCALED), SCALED)
    assert world.left.span.low == pytest.approx(Span.around(40.0 * scale + 30.0).low)


@pytest.mark.parametrize(
    ("about", "printed"), [(50, "41 to 61 s"), (240, "3 to 5 min"), (9000, "2.0 to 3.1 h")]
)
def test_a_range_is_said_as_people_say_it(about, printed):
    assert str(Span.around(about)) == printed

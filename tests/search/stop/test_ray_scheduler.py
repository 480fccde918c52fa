"""Which scheduler a search gets, and the laws that hold for every one of them."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, MedianStoppingRule

from tlsearch.config.load import parse
from tlsearch.config.scheduler import KINDS
from tlsearch.results.record.journal import TrialRecord
from tlsearch.search.stop.halving import ExplainedHalving
from tlsearch.search.stop.median import ExplainedMedian
from tlsearch.search.stop.promotion import PromotingAsha
from tlsearch.search.stop.ray_scheduler import build_scheduler

EPOCHS = 18
law = settings(deadline=None, max_examples=60)  # the machine may be busy
STOPPING = ("asha", "hyperband", "median")


def build(kind, direction="max", seed=0, reasons=None, history=()):
    metric = {"max": "accuracy", "min": "loss"}[direction]
    asked = [f"scheduler={kind}", f"epochs={EPOCHS}", f"metric={metric}", f"seed={seed}"]
    config = parse("data: {kind: digits}", settings=asked)
    return build_scheduler(config, history, {} if reasons is None else reasons)


class trial:  # noqa: N801 - reads as a function where it is used
    """A trial as Ray knows it: hashable, named by Ray, our number in its configuration."""

    def __init__(self, number):
        self.config = {"number": number}
        self.trial_id = f"ray-{number}"


def play(scheduler, curves, first=0):
    """Run trials one after another until each is stopped; gives the epochs they reached."""
    return dict(_reached(scheduler, n, curve) for n, curve in enumerate(curves, start=first))


def _reached(scheduler, number, curve):
    for epoch, value in enumerate(curve, start=1):
        result = {"epoch": epoch, "value": value}
        if scheduler.on_trial_result(None, trial(number), result) == "STOP":
            break
    return number, epoch


def play_stock(stock, curves):
    """The same with a scheduler of Ray's."""
    expected = {}
    for number, curve in enumerate(curves):
        one = trial(number)
        if isinstance(stock, AsyncHyperBandScheduler):
            stock.on_trial_add(None, one)
        for epoch, value in enumerate(curve, start=1):
            expected[number] = epoch
            result = {"epoch": epoch, "value": value}
            if stock.on_trial_result(_Controller(), one, result) == "STOP":
                break
    return expected


class _Controller:
    """Ray's controller, with no trial that waits."""

    def get_live_trials(self):
        return []


def records(curves, reached):
    return [
        TrialRecord(n, "stopped", {}, dict(enumerate(curves[n][:epoch], start=1)))
        for n, epoch in reached.items()
    ]


curves = st.lists(
    st.lists(st.floats(0, 1), min_size=EPOCHS - 1, max_size=EPOCHS - 1), min_size=1, max_size=12
)
directions = st.sampled_from(["max", "min"])


@law
@given(curves, directions)
def test_asha_decides_as_rays_own(drawn, direction):
    stock = AsyncHyperBandScheduler("epoch", "value", direction, EPOCHS, 2, 3)
    assert play(build("asha", direction), drawn) == play_stock(stock, drawn)


@law
@given(curves, directions)
def test_the_median_rule_decides_as_rays_own(drawn, direction):
    stock = MedianStoppingRule("epoch", "value", direction, 2, min_samples_required=3)
    expected = play_stock(stock, drawn)
    assert play(build("median", direction), drawn) == expected


@law
@given(curves, directions, st.integers(0, 12))
@pytest.mark.parametrize("kind", STOPPING)
def test_rebuilt_from_the_journal_it_decides_on_as_it_would_have(kind, drawn, direction, cut):
    unbroken = build(kind, direction)
    before, after = drawn[:cut], drawn[cut:]
    reached = play(unbroken, before)
    resumed = build(kind, direction, history=records(before, reached))
    assert play(resumed, after, first=cut) == play(unbroken, after, first=cut)
    assert state(resumed) == state(unbroken)


@pytest.mark.parametrize("kind", STOPPING)
@pytest.mark.parametrize("extra", [{}, {"diverged": True}])
def test_a_trial_that_ends_itself_is_known_as_the_journal_knows_it(kind, extra):
    live, last = build(kind), 6
    for epoch in range(1, last):
        live.on_trial_result(None, trial(0), {"epoch": epoch, "value": 0.5})
    live.on_trial_complete(None, trial(0), {"epoch": last, "value": 0.5, **extra})
    known = dict.fromkeys(range(1, last + (not extra)), 0.5)
    journal = [TrialRecord(0, "finished", {}, known)]
    assert state(live) == state(build(kind, history=journal))


def state(scheduler):
    if isinstance(scheduler, ExplainedMedian):
        return {number: values for number, values in scheduler.values.items() if values}
    return scheduler.brackets


@settings(deadline=None, max_examples=20)
@given(curves, st.integers(0, 2**31 - 1), st.integers(0, 2**31 - 1))
@pytest.mark.parametrize("kind", STOPPING)
def test_it_decides_the_same_whatever_numpys_global_state(kind, drawn, one, other):
    np.random.seed(one % 2**32)
    first = play(build(kind, seed=7), drawn)
    np.random.seed(other % 2**32)
    assert play(build(kind, seed=7), drawn) == first


def test_stock_hyperband_draws_brackets_from_numpys_global_state():
    """The pitfall itself, so that this project hears of it when Ray mends it."""
    drawn = set()
    for seed in range(20):
        np.random.seed(seed)
        stock = AsyncHyperBandScheduler("epoch", "value", "max", EPOCHS, 2, 3, brackets=3)
        stock.on_trial_add(None, trial(0))
        drawn.add(stock._brackets.index(stock._trial_info["ray-0"]))
    assert len(drawn) > 1


@law
@given(st.integers(0, 2**31 - 1), st.integers(0, 10**6))
def test_a_trials_bracket_is_a_function_of_seed_and_number(seed, number):
    assert build("hyperband", seed=seed).bracket_of(number) == build(
        "hyperband", seed=seed
    ).bracket_of(number)


def test_brackets_begin_a_rung_later_each_and_the_longest_takes_most_trials():
    scheduler = build("hyperband")
    assert [[rung for rung, _ in rungs] for rungs in scheduler.brackets] == [
        [18, 6, 2],
        [18, 6],
        [18],
    ]
    counts = np.bincount([scheduler.bracket_of(number) for number in range(1000)])
    assert counts[0] > counts[1] > counts[2] > 30  # 665, 245 and 90 are expected


def test_there_are_no_more_brackets_than_rungs():
    config = parse("{data: {kind: digits}, epochs: 9, scheduler: hyperband}")
    assert len(build_scheduler(config, [], {}).brackets) == 2


def test_the_first_rung_stands_where_it_was_asked_for():
    assert [milestone for milestone, _ in build("asha").brackets[0]] == [18, 6, 2]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("kind", STOPPING)
def test_what_is_no_number_is_stopped_and_leaves_no_trace(kind, value):
    scheduler, untouched = build(kind), build(kind)
    result = {"epoch": 2, "value": value}
    assert scheduler.on_trial_result(None, trial(0), result) == "STOP"
    assert state(scheduler) == state(untouched)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("kind", STOPPING)
def test_what_is_no_number_in_the_journal_is_left_out(kind, value):
    history = [TrialRecord(0, "diverged", {}, {1: value, 2: value})]
    assert state(build(kind, history=history)) == state(build(kind))


def test_stock_asha_lets_what_is_no_number_train_on():
    """The pitfall itself, so that this project hears of it when Ray mends it."""
    stock = AsyncHyperBandScheduler("epoch", "value", "max", EPOCHS, 2, 3)
    for number, value in enumerate([0.9, math.nan]):
        stock.on_trial_add(None, trial(number))
        result = {"epoch": 2, "value": value}
        assert stock.on_trial_result(None, trial(number), result) == "CONTINUE"


def test_asha_says_why():
    reasons = {}
    play(build("asha", reasons=reasons), [[0.9] * 17, [0.8] * 17, [0.7] * 17])
    assert reasons == {
        1: "stopped at epoch 2: 0.8 < 0.9, place 2 of 2 at rung 2",
        2: "stopped at epoch 2: 0.7 < 0.8667, place 3 of 3 at rung 2",
    }


def test_hyperband_says_in_which_bracket():
    reasons = {}
    scheduler = build("hyperband", reasons=reasons)
    first, second = [n for n in range(100) if scheduler.bracket_of(n) == 1][:2]
    play(scheduler, [[0.9] * 17], first)
    play(scheduler, [[0.8] * 17], second)
    assert reasons == {second: "stopped at epoch 6: 0.8 < 0.9, place 2 of 2 at rung 6 of bracket 1"}


def test_the_median_rule_says_why():
    reasons = {}
    play(build("median", "min", reasons=reasons), [[0.1] * 17, [0.2] * 17, [0.3] * 17, [0.4] * 17])
    assert reasons == {
        3: "stopped at epoch 2: 0.4 > 0.2, best value against the median of 3 trials' means"
    }


@law
@given(curves, directions)
@pytest.mark.parametrize("kind", STOPPING)
def test_every_decision_is_kept_with_its_grounds(kind, drawn, direction):
    reasons = {}
    scheduler = build(kind, direction, reasons=reasons)
    play(scheduler, drawn)
    stops = {d.trial: str(d) for d in scheduler.decisions if d.stopped}
    assert stops == reasons
    for decision in scheduler.decisions:
        better = max if direction == "max" else min
        held = decision.cutoff is None or better(decision.value, decision.cutoff) == decision.value
        assert held != decision.stopped
        assert decision.seen >= 1


def test_going_on_has_its_sentence_too():
    scheduler = build("asha")
    play(scheduler, [[0.5] * 3, [0.8] * 3])
    assert [str(decision) for decision in scheduler.decisions] == [
        "went on at epoch 2: 0.5, place 1 of 1 at rung 2",
        "went on at epoch 2: 0.8 >= 0.5, place 1 of 2 at rung 2",
    ]


@pytest.mark.parametrize("kind", STOPPING)
def test_a_resumed_trial_that_repeats_epochs_is_not_counted_twice(kind):
    values = {1: 0.1, 2: 0.2, 3: 0.3}
    scheduler = build(kind, history=[TrialRecord(0, "unfinished", {}, values)])
    before = repr(state(scheduler))
    for epoch in values:
        result = {"epoch": epoch, "value": 0.9}
        assert scheduler.on_trial_result(None, trial(0), result) == "CONTINUE"
    assert repr(state(scheduler)) == before


def test_the_median_rule_never_pauses_a_trial():
    """Stock pauses where few can be compared and others wait; a pause loses unsaved epochs."""

    class Waiting:
        def get_live_trials(self):
            return [SimpleNamespace(status="PENDING")]

    result = {"epoch": 3, "value": 0.5}
    stock = MedianStoppingRule("epoch", "value", "max", 2)
    assert stock.on_trial_result(Waiting(), trial(0), result) == "PAUSE"
    assert build("median").on_trial_result(Waiting(), trial(0), result) == "CONTINUE"


@law
@given(curves)
@pytest.mark.parametrize("kind", STOPPING)
def test_time_is_the_epoch_whatever_ray_counts(kind, drawn):
    """`training_iteration` begins anew where a trial was taken up without Ray's checkpoint."""
    expected = play(build(kind), drawn)
    scheduler, reached = build(kind), {}
    for number, curve in enumerate(drawn):
        for epoch, value in enumerate(curve, start=1):
            reached[number] = epoch
            result = {"epoch": epoch, "value": value, "training_iteration": 1 + epoch % 3}
            if scheduler.on_trial_result(None, trial(number), result) == "STOP":
                break
    assert reached == expected


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_its_scheduler(kind):
    expected = {
        "asha": ExplainedHalving,
        "hyperband": ExplainedHalving,
        "median": ExplainedMedian,
        "promotion": PromotingAsha,
        "none": FIFOScheduler,
    }
    assert type(build(kind)) is expected[kind]

import math
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler

from tlsearch.config.load import parse
from tlsearch.results.journal import TrialRecord
from tlsearch.search.scheduler import ExplainedAsha, build_scheduler

EPOCHS = 18


def asha(direction="max", reasons=None):
    return ExplainedAsha(
        direction=direction,
        epochs=EPOCHS,
        first_rung=2,
        reduction=3,
        reasons={} if reasons is None else reasons,
    )


def trial(number):
    return SimpleNamespace(config={"number": number}, trial_id=f"ray-{number}")


def play(scheduler, curves):
    """Run trials one after another until each is stopped; gives the epochs they reached."""
    reached = {}
    for number, curve in enumerate(curves):
        for epoch, value in enumerate(curve, start=1):
            reached[number] = epoch
            result = {"epoch": epoch, "value": value}
            if scheduler.on_trial_result(None, trial(number), result) == "STOP":
                break
    return reached


curves = st.lists(
    st.lists(st.floats(0, 1), min_size=EPOCHS - 1, max_size=EPOCHS - 1), min_size=1, max_size=12
)


@given(curves, st.sampled_from(["max", "min"]))
def test_it_decides_as_rays_own(drawn, direction):
    stock = AsyncHyperBandScheduler("epoch", "value", direction, EPOCHS, 2, 3)
    expected = {}
    for number, curve in enumerate(drawn):
        one = trial(number)
        stock.on_trial_add(None, one)
        for epoch, value in enumerate(curve, start=1):
            expected[number] = epoch
            if stock.on_trial_result(None, one, {"epoch": epoch, "value": value}) == "STOP":
                break
    assert play(asha(direction), drawn) == expected


@given(curves, st.sampled_from(["max", "min"]))
def test_rungs_rebuilt_from_the_journal_are_the_rungs_that_were(drawn, direction):
    before = asha(direction)
    reached = play(before, drawn)
    after = asha(direction)
    after.rebuild(
        TrialRecord(n, "stopped", {}, dict(enumerate(curve[: reached[n]], start=1)))
        for n, curve in enumerate(drawn)
    )
    assert after.rungs == before.rungs


def test_the_first_rung_stands_where_it_was_asked_for():
    assert [milestone for milestone, _ in asha().rungs] == [18, 6, 2]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_stopped_and_leaves_no_trace(value):
    scheduler = asha()
    result = {"epoch": 2, "value": value}
    assert scheduler.on_trial_result(None, trial(0), result) == "STOP"
    assert not any(recorded for _, recorded in scheduler.rungs)


def test_it_says_why():
    reasons = {}
    scheduler = asha(reasons=reasons)
    play(scheduler, [[0.9] * 17, [0.8] * 17, [0.7] * 17])
    assert reasons == {
        1: "stopped at epoch 2: 0.8 < 0.9, place 2 of 2 at rung 2",
        2: "stopped at epoch 2: 0.7 < 0.8667, place 3 of 3 at rung 2",
    }


def test_a_resumed_trial_is_not_counted_twice_at_its_rung():
    scheduler = asha()
    scheduler.rebuild([TrialRecord(0, "unfinished", {}, {1: 0.1, 2: 0.2, 3: 0.3})])
    scheduler.on_trial_result(None, trial(0), {"epoch": 4, "value": 0.9})
    assert dict(scheduler.rungs)[2] == {"0": 0.2}


def test_no_asha_is_first_in_first_out():
    config = parse("{data: {kind: digits}, asha: null}")
    assert isinstance(build_scheduler(config, [], {}), FIFOScheduler)

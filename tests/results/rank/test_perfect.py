"""A search whose metric cannot improve ends, unless more trials are requested."""

from datetime import datetime, timedelta

import pytest

from tlsearch.config.catalog import METRICS, Direction
from tlsearch.results.rank.perfect import continued_after_perfect, perfect_message, perfect_trial
from tlsearch.results.record.journal import StudyRecord, TrialRecord

BEGAN = datetime(2026, 1, 1)


def trial(number, value, state="finished", minute=None, unfrozen=15):
    ended = BEGAN + timedelta(minutes=number if minute is None else minute)
    config = {"backbone": "strokes", "unfrozen_layers": unfrozen}
    return TrialRecord(number, state, config, {0: 1.0, 1: value}, ended=ended)


def found(*trials, metric="accuracy", extended=()):
    about = {"config": {"metric": metric}, "extended": list(extended)}
    record = StudyRecord(Direction.MAX, trials)
    return perfect_trial(record, about), continued_after_perfect(record, about)


@pytest.mark.parametrize("metric", METRICS)
def test_every_metric_but_loss_can_be_perfect(metric):
    end = None if metric == "loss" else 1
    assert found(trial(0, 0.9), trial(1, 1.0), trial(2, 1.0), metric=metric) == (end, False)


def test_the_first_to_end_is_named():
    assert found(trial(0, 1.0, minute=9), trial(1, 1.0, minute=5))[0] == 1


def test_nearly_perfect_is_not():
    assert found(trial(0, 0.9999)) == (None, False)


def test_a_warm_up_of_a_network_that_trains_on_does_not_count():
    assert found(trial(0, 0.9)) == (None, False)
    assert found(trial(0, 0.9, unfrozen=0)) == (0, False)


@pytest.mark.parametrize("state", ["unfinished", "diverged", "failed"])
def test_only_a_trial_that_ended_well_counts(state):
    assert found(trial(0, 1.0, state)) == (None, False)


@pytest.mark.parametrize("key", ["trials", "time_budget", "space.dropout"])
def test_a_study_asked_for_more_trains_them_all(key):
    more = {"after_trials": 2, "changes": {key: {}}}
    assert found(trial(0, 0.9), trial(1, 1.0), trial(2, 1.0), extended=[more]) == (None, True)


def test_what_was_asked_before_or_is_no_trial_does_not_count():
    before = {"after_trials": 1, "changes": {"trials": {}}}
    other = {"after_trials": 2, "changes": {"export": {}}}
    assert found(trial(0, 0.9), trial(1, 1.0), extended=[before, other]) == (1, False)


def test_the_reason_names_the_trial_and_the_way_on():
    assert perfect_message(3, "macro_f1") == (
        "trial 3 reached a validation macro f1 of 1.0000, which no trial can exceed; "
        "`tlsearch resume DIR --trials +N` trains more all the same"
    )

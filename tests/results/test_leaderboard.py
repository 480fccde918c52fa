"""Laws of ranking: best first, ties by number, what is not sound is not ranked."""

import itertools
from typing import get_args

import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from tlsearch.config.schema import Space
from tlsearch.config.trial import TrialConfig
from tlsearch.results.journal import State, StudyRecord, TrialRecord
from tlsearch.results.leaderboard import (
    COLUMNS,
    CONFIG_COLUMNS,
    keep_for_export,
    ranked,
    rows,
    table,
)

UNSOUND = ("diverged", "failed")
values = st.dictionaries(st.integers(1, 5), st.sampled_from([0.0, 0.25, 0.5, 1.0]), max_size=4)
trial = st.tuples(st.sampled_from(get_args(State)), values)


@st.composite
def records(draw: st.DrawFn) -> StudyRecord:
    trials = tuple(
        TrialRecord(number, state, {"backbone": "strokes"}, {} if state == "waiting" else found)
        for number, (state, found) in enumerate(draw(st.lists(trial, max_size=6)))
    )
    return StudyRecord(draw(st.sampled_from(["max", "min"])), trials)


@given(records())
def test_ranked_are_the_sound_trials_with_a_value_and_no_others(record: StudyRecord) -> None:
    expected = {t.number for t in record.trials if t.values and t.state not in UNSOUND}
    assert {t.number for t in ranked(record)} == expected
    assert len(ranked(record)) == len(expected)


@given(records())
def test_the_better_value_comes_first_and_of_equals_the_earlier_trial(
    record: StudyRecord,
) -> None:
    best = max if record.direction == "max" else min
    places = [(best(t.values.values()), t.number) for t in ranked(record)]
    for (value, number), (next_value, next_number) in itertools.pairwise(places):
        assert best(value, next_value) == value
        assert value != next_value or number < next_number


@given(records())
def test_turning_values_and_direction_around_keeps_the_order(record: StudyRecord) -> None:
    turned = StudyRecord(
        "min" if record.direction == "max" else "max",
        tuple(
            TrialRecord(t.number, t.state, t.config, {k: -v for k, v in t.values.items()})
            for t in record.trials
        ),
    )
    assert [t.number for t in ranked(turned)] == [t.number for t in ranked(record)]


@given(records())
def test_rows_are_ranked_trials_then_the_rest_without_those_that_wait(record: StudyRecord) -> None:
    found = rows(record)
    count = len(ranked(record))
    assert [row["rank"] for row in found[:count]] == list(range(1, count + 1))
    assert [row["rank"] for row in found[count:]] == [None] * (len(found) - count)
    rest = [row["trial"] for row in found[count:]]
    assert rest == sorted(rest)
    assert {row["trial"] for row in found} == {
        t.number for t in record.trials if t.state != "waiting"
    }
    assert all(tuple(row) == COLUMNS for row in found)


@given(records(), st.integers(0, 4))
def test_the_best_are_kept_for_export(record: StudyRecord, count: int) -> None:
    assert list(keep_for_export(record, count)) == [t.number for t in ranked(record)][:count]


@settings(deadline=None, max_examples=20)
@given(records())
def test_the_table_holds_the_rows(record: StudyRecord) -> None:
    frame = table(record)
    assert tuple(frame.columns) == COLUMNS
    assert frame["rank"].dtype == pd.Int64Dtype()
    assert frame["trial"].tolist() == [row["trial"] for row in rows(record)]


def test_dense_widths_are_text_and_every_column_is_a_key_of_a_trial() -> None:
    config = TrialConfig(backbone="strokes", head_units=(256, 128)).to_json()
    plain = {**config, "head_units": []}
    record = StudyRecord(
        "max", (TrialRecord(0, "finished", config, {1: 0.5}), TrialRecord(1, "failed", plain, {}))
    )
    assert [row["head_units"] for row in rows(record)] == ["256-128", "none"]
    assert set(CONFIG_COLUMNS) <= config.keys()


def test_trials_that_differ_in_their_space_differ_in_their_row() -> None:
    assert set(Space.model_fields) == set(CONFIG_COLUMNS)

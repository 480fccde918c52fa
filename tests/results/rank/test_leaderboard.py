"""Laws of ranking: best first, ties by number, no rank for unsound trials."""

import itertools
import json
from pathlib import Path
from typing import get_args

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tlsearch.config.catalog import Direction
from tlsearch.config.trial_config import TrialConfig
from tlsearch.results.rank.context import RankingContext, ranking_context
from tlsearch.results.rank.interval import wilson
from tlsearch.results.rank.leaderboard import (
    COLUMN_HELP,
    COLUMNS,
    CONFIG_COLUMNS,
    leaderboard,
    rows,
    to_table,
)
from tlsearch.results.rank.standings import keep_for_export, ranked_trials
from tlsearch.results.record.journal import State, StudyRecord, TrialRecord

UNSOUND = ("diverged", "failed")
values = st.dictionaries(st.integers(1, 5), st.sampled_from([0.0, 0.25, 0.5, 1.0]), max_size=4)
trial = st.tuples(st.sampled_from(get_args(State)), values)


@st.composite
def records(draw: st.DrawFn) -> StudyRecord:
    trials = tuple(
        TrialRecord(number, state, {"backbone": "strokes"}, {} if state == "waiting" else found)
        for number, (state, found) in enumerate(draw(st.lists(trial, max_size=6)))
    )
    return StudyRecord(draw(st.sampled_from(Direction)), trials)


@given(records())
def test_ranked_are_the_sound_trials_with_a_value_and_no_others(record: StudyRecord) -> None:
    expected = {t.number for t in record.trials if t.values and t.state not in UNSOUND}
    assert {t.number for t in ranked_trials(record)} == expected
    assert len(ranked_trials(record)) == len(expected)


@given(records())
def test_the_better_value_comes_first_and_of_equals_the_earlier_trial(
    record: StudyRecord,
) -> None:
    best = max if record.direction == "max" else min
    places = [(best(t.values.values()), t.number) for t in ranked_trials(record)]
    for (value, number), (next_value, next_number) in itertools.pairwise(places):
        assert best(value, next_value) == value
        assert value != next_value or number < next_number


@given(records())
def test_turning_values_and_direction_around_keeps_the_order(record: StudyRecord) -> None:
    turned = StudyRecord(
        Direction.MIN if record.direction is Direction.MAX else Direction.MAX,
        tuple(
            TrialRecord(t.number, t.state, t.config, {k: -v for k, v in t.values.items()})
            for t in record.trials
        ),
    )
    assert [t.number for t in ranked_trials(turned)] == [t.number for t in ranked_trials(record)]


@given(records())
def test_rows_are_ranked_trials_then_the_rest_without_those_that_wait(record: StudyRecord) -> None:
    found = rows(record)
    count = len(ranked_trials(record))
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
    ended = [t.number for t in ranked_trials(record) if t.state != "unfinished"]
    assert list(keep_for_export(record, count)) == ended[:count]


@settings(deadline=None, max_examples=20)
@given(records())
def test_the_table_holds_the_rows(record: StudyRecord) -> None:
    frame = to_table(rows(record))
    assert tuple(frame.columns) == COLUMNS
    assert frame["rank"].dtype == pd.Int64Dtype()
    assert frame["trial"].tolist() == [row["trial"] for row in rows(record)]


def test_dense_widths_are_text_and_every_column_is_a_key_of_a_trial() -> None:
    config = TrialConfig(backbone="strokes", head_units=(256, 128)).to_json()
    plain = {**config, "head_units": []}
    record = StudyRecord(
        Direction.MAX,
        (TrialRecord(0, "finished", config, {1: 0.5}), TrialRecord(1, "failed", plain, {})),
    )
    assert [row["head_units"] for row in rows(record)] == ["256-128", "none"]
    assert set(CONFIG_COLUMNS) <= config.keys()


@given(st.integers(1, 10_000), st.data())
def test_an_interval_holds_its_share_and_stays_between_0_and_1(n: int, data: st.DataObject) -> None:
    share = data.draw(st.integers(0, n)) / n
    low, high = wilson(share, n)
    assert 0 <= low <= share <= high <= 1
    assert low < high


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [(8, 10, 0.4902, 0.9433), (0, 20, 0.0, 0.1611), (81, 263, 0.2553, 0.3662)],
)
def test_intervals_are_those_of_the_books(hits: int, n: int, low: float, high: float) -> None:
    """From Newcombe 1998, table I, method 3, and R's prop.test without continuity correction."""
    assert wilson(hits / n, n) == pytest.approx((low, high), abs=1e-4)


@given(records(), st.integers(1, 1000))
def test_ties_are_the_leader_its_equals_and_whose_interval_holds_its_value(
    record: StudyRecord, n: int
) -> None:
    found = [row for row in rows(record, RankingContext(n)) if row["rank"] is not None]
    for row in found:
        equal = row["metric"] == found[0]["metric"]
        assert row["tied"] == (equal or row["low"] <= found[0]["metric"] <= row["high"])
    plain = [row for row in rows(record) if row["rank"] is not None]
    assert [row["tied"] for row in plain] == [r["metric"] == plain[0]["metric"] for r in plain]


@pytest.mark.parametrize(("metric", "counted"), [("accuracy", 40), ("loss", None), ("auc", None)])
def test_only_an_accuracy_has_an_interval(metric: str, counted: int | None) -> None:
    about = {"config": {"metric": metric}, "data": {"images": {"validation": 40}}}
    assert ranking_context(StudyRecord(Direction.MAX, ()), about).counted == counted
    assert (
        ranking_context(StudyRecord(Direction.MAX, ()), {"config": {"metric": metric}}).counted
        is None
    )


def test_latency_and_size_are_those_of_the_exported_trial(tmp_path: Path) -> None:
    trials = tuple(TrialRecord(n, "finished", {}, {1: n / 2}) for n in range(2))
    record = StudyRecord(Direction.MAX, trials, {"test": {"trial": 1, "value": 0.5}})
    latency = {"batch 1, 2 threads": 2.0, "batch 1, 1 thread": 3.0, "batch 32, 1 thread": 40.0}
    manifest = {"artifacts": [{"bytes": 7, "latency_ms": latency}, {"bytes": 8}]}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    found = rows(record, ranking_context(record, {"config": {"metric": "loss"}}, tmp_path))
    assert [(r["trial"], r["latency_ms"], r["bytes"]) for r in found] == [
        (1, 3.0, 7),
        (0, None, None),
    ]


def test_a_bundle_stays_that_of_its_trial_while_a_new_winner_is_not_exported(
    tmp_path: Path,
) -> None:
    trials = tuple(TrialRecord(n, "finished", {}, {1: n / 2}) for n in range(2))
    facts = {"exported": {"trial": 0}, "test": {"trial": 1, "value": 0.5}}
    (tmp_path / "manifest.json").write_text(json.dumps({"artifacts": [{"bytes": 7}]}))
    record = StudyRecord(Direction.MAX, trials, facts)
    found = rows(record, ranking_context(record, {"config": {"metric": "loss"}}, tmp_path))
    assert [(row["trial"], row["bytes"]) for row in found] == [(1, None), (0, 7)]


@pytest.mark.parametrize("content", [None, "", "[]", '{"artifacts": []}', '{"artifacts": [3]}'])
def test_a_missing_or_foreign_manifest_measures_nothing(
    tmp_path: Path, content: str | None
) -> None:
    if content is not None:
        (tmp_path / "manifest.json").write_text(content)
    record = StudyRecord(Direction.MAX, (), {"test": {"trial": 1}})
    found = ranking_context(record, {"config": {"metric": "loss"}}, tmp_path)
    assert (found.latency_ms, found.bytes) == (None, None)


def test_every_column_has_its_meaning() -> None:
    assert tuple(COLUMN_HELP) == COLUMNS
    assert all((text and text[0].islower()) or text[0].isdigit() for text in COLUMN_HELP.values())


HEAD, LAYERS = {"unfrozen_layers": 0}, {"unfrozen_layers": 15}


@pytest.mark.parametrize(
    ("config", "values", "best"),
    [
        (LAYERS, {0: 0.94, 1: 0.6, 2: 0.46}, (1, 0.6)),
        (LAYERS, {0: 0.94}, None),
        (HEAD, {0: 0.94, 1: 0.6}, (0, 0.94)),
        (HEAD, {0: 0.5, 1: 0.6}, (1, 0.6)),
    ],
)
def test_the_warm_up_counts_for_trials_of_the_head_alone(config, values, best) -> None:
    assert TrialRecord(0, "finished", config, values).best(Direction.MAX) == best


def test_a_trial_that_only_became_worse_than_its_warm_up_ranks_by_what_it_did() -> None:
    collapsed = TrialRecord(0, "stopped", LAYERS, {0: 0.94, 1: 0.6}, "stopped at epoch 1")
    better = TrialRecord(1, "finished", LAYERS, {0: 0.94, 1: 0.95}, "trained to the last epoch")
    first, second = rows(StudyRecord(Direction.MAX, (collapsed, better)))
    assert (first["trial"], second["trial"], second["metric"]) == (1, 0, 0.6)
    assert second["reason"] == "stopped at epoch 1; warm-up was better (0.9400)"
    assert first["reason"] == "trained to the last epoch"


def test_one_row_is_the_winners_once_it_is_decided() -> None:
    trials = tuple(TrialRecord(n, "finished", LAYERS, {1: 0.9 - n / 10}) for n in range(3))
    run = {"trial": 1, "seed": 7, "value": 0.8, "epoch": 1, "seconds": 1.0}
    about = {"config": {"metric": "accuracy"}}
    nothing, undecided, decided = (
        leaderboard(StudyRecord(Direction.MAX, some, facts), about)
        for some, facts in (((), {}), (trials, {}), (trials, {"confirmation": [run]}))
    )
    assert [row["winner"] for row in undecided.rows] == [None] * 3
    assert [row["winner"] for row in decided.rows] == [False, True, False]
    assert undecided.leader["trial"] == 0
    assert decided.leader["trial"] == 1
    assert nothing.leader is None

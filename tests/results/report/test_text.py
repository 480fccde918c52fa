"""The leaderboard as text: stable JSON, CSV that parses back, escaped Markdown."""

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tlsearch.config.catalog import Direction
from tlsearch.config.device import DeviceProfile
from tlsearch.results.rank.context import RankingContext
from tlsearch.results.rank.interval import wilson
from tlsearch.results.rank.leaderboard import COLUMNS, leaderboard, rows
from tlsearch.results.record.directory import StudyDirectory
from tlsearch.results.record.journal import StudyRecord, TrialRecord
from tlsearch.results.report.readable_table import format_cell, readable_rows
from tlsearch.results.report.report_folder import write_report
from tlsearch.results.report.selection import Selection
from tlsearch.results.report.text import explain, render, summary, write_parquet

ABOUT: dict[str, Any] = {
    "config": {"name": "pets", "metric": "accuracy"},
    "data": {"fingerprint": "f", "classes": ["cat", "dog"]},
    "versions": {"python": "3.11"},
}
STROKES = {"backbone": "strokes", "unfrozen_layers": 0, "head_units": [64], "head_lr": 1e-3}
PHOTOS = {"backbone": "photos", "unfrozen_layers": "all", "head_units": [], "fine_tune_lr": 1e-4}
RECORD = StudyRecord(
    Direction.MAX,
    (
        TrialRecord(0, "finished", STROKES, {1: 0.5, 2: 0.75}, "trained", 3.25, 650),
        TrialRecord(1, "failed", PHOTOS, {}, 'out of memory: "x", a | b\nline two'),
        TrialRecord(2, "finished", PHOTOS, {1: 0.875}, "trained", 7.0, 4242),
        TrialRecord(3, "waiting", {}, {}),
    ),
    {"baselines": {"most frequent class": 0.5}, "test": {"trial": 2, "value": 0.8, "images": 40}},
)


TEST = {"metric": "accuracy", "trial": 2, "value": 0.8, "images": 40}
TEST |= {"low": wilson(0.8, 40)[0], "high": wilson(0.8, 40)[1], "interval": "Wilson"}


def test_unreadable_pictures_are_counted_and_named() -> None:
    lost = {"pictures": 5, "first": ["a.png: cannot be read (x)", "b.png: cannot be read (y)"]}
    about = {**ABOUT, "data": {**ABOUT["data"], "unreadable": lost}}
    notes = [line for line in summary(RECORD, about) if line.startswith("unreadable")]
    assert notes == [
        "unreadable pictures, left out: 5 (a.png: cannot be read (x); b.png: cannot be read (y) "
        "and 3 more, see artifacts/data.json)"
    ]
    assert not any("unreadable" in line for line in summary(RECORD, ABOUT))


def test_what_the_trials_computed_on_is_told() -> None:
    profile = DeviceProfile("gpu", ("NVIDIA H200",), "mixed_bfloat16", ("resnet50",))
    expected = "computed on: NVIDIA H200 in mixed_bfloat16, XLA for resnet50"
    assert expected in summary(RECORD, {**ABOUT, "device": profile.to_json()})
    for added in ({}, {"device": 3}, {"device": {"precision": "float8"}}):  # from earlier versions
        assert not any("computed on" in line for line in summary(RECORD, {**ABOUT, **added}))


def test_json_has_the_keys_that_scripts_read() -> None:
    document = json.loads(render(leaderboard(RECORD, ABOUT), "json"))
    assert document["study"] == {
        "name": "pets",
        "metric": "accuracy",
        "direction": "max",
        "data": ABOUT["data"],
        "versions": ABOUT["versions"],
        "test": TEST,
        "tests": [TEST],
        "work_ratio": None,
        "forecast": None,
    }
    assert document["baselines"] == [{"name": "most frequent class", "metric": 0.5}]
    assert [tuple(trial) for trial in document["trials"]] == [COLUMNS] * 3
    first = document["trials"][0]
    assert {key: first[key] for key in ("rank", "trial", "state", "backbone", "metric")} == {
        "rank": 1,
        "trial": 2,
        "state": "finished",
        "backbone": "photos",
        "metric": 0.875,
    }
    assert (first["unfrozen_layers"], first["epochs"], first["seconds"]) == ("all", 1, 7.0)
    assert document["trials"][2]["rank"] is None


def test_csv_parses_back_to_the_rows() -> None:
    parsed = list(csv.DictReader(io.StringIO(render(leaderboard(RECORD, ABOUT), "csv"))))
    expected = [
        {key: "" if value is None else str(value) for key, value in row.items()}
        for row in rows(RECORD)
    ]
    assert parsed == expected


def test_markdown_reads_as_a_table() -> None:
    assert (
        render(leaderboard(RECORD, ABOUT), "md")
        == """\
# pets: 3 trials by validation accuracy

- trial 2 wins (photos, unfrozen all, head none, lr 0.0001): validation accuracy 0.8750 in the search, place 1 of 2, 0.1250 ahead of trial 0
- the winner was not trained again on fresh seeds: part of the lead of the best trial is luck; confirm: 1 or more trains it again if time allows
- test accuracy of trial 2, evaluated once: 0.8000 (95 %: 0.6524 to 0.8950, Wilson) on 40 pictures that no trial has seen
- trial 2 is 0.3750 better than the best baseline, most frequent class (0.5000)
- warning: the interval of the test score is 0.24 wide, since the test split has only 40 pictures: four times as many would halve it
- trial 2 reached the best score of the search, 0.8750, after 10 of 10 s; no trial ended later
- 3 trials are too few to tell whether more would help

| rank | trial | state | accuracy | epoch | seconds | backbone | unfrozen | head | lr | trained |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
| 1* | 2 | finished | 0.8750 | 1/1 | 7.0 | photos | all | none | 0.0001 | 4242 |
| 2 | 0 | finished | 0.7500 | 2/2 | 3.2 | strokes | 0 | 64 | 0.001 | 650 |
| - | 1 | failed | - | -/0 | 0.0 | photos | all | none | 0.0001 | - |

- epoch: best epoch/last epoch; 0 is the head after the warm-up, which trains the head alone before the epochs begin
- lr: learning rate of the head if nothing is unfrozen, else of everything that trains
- trained: number of weights that were trained
- *: the winner, which is exported and tested
- most frequent class: 0.5000 validation accuracy
"""  # noqa: E501
    )


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("a|b", "a\\|b"),
        ("<script>", "&lt;script>"),
        ("a\nb", "a b"),
        ("a\\|b", "a\\\\\\|b"),
    ],
)
def test_no_cell_breaks_out_of_a_markdown_table(written: str, shown: str) -> None:
    odd = TrialRecord(4, "finished", {**STROKES, "backbone": written}, {1: 0.9})
    record = StudyRecord(Direction.MAX, (*RECORD.trials, odd))
    lines = render(leaderboard(record, ABOUT), "md").splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert f"| {shown} |" in table[2]
    unescaped = [line.replace("\\\\", "").replace("\\|", "").count("|") for line in table]
    assert len(set(unescaped)) == 1
    assert f"({shown}, " in lines[2]


def test_what_never_varies_is_left_out_and_the_top_is_what_was_asked_for() -> None:
    alike = StudyRecord(
        Direction.MAX, (RECORD.trials[0], TrialRecord(1, "finished", STROKES, {1: 0.1}))
    )
    grid = readable_rows(rows(alike), "accuracy", Selection(top=1))
    assert grid.columns == ["rank", "trial", "state", "accuracy", "epoch", "seconds", "trained"]
    assert [line[1] for line in grid.body] == ["0"]


def test_a_study_without_trials_is_reported_too() -> None:
    nothing = StudyRecord(Direction.MIN, ())
    board = leaderboard(nothing, ABOUT)
    assert json.loads(render(board, "json"))["trials"] == []
    assert render(board, "csv") == ",".join(COLUMNS) + "\n"
    assert render(board, "md").startswith("# pets: 0 trials by validation accuracy\n")
    assert summary(nothing, ABOUT) == []


def test_a_test_split_that_several_winners_saw_is_in_the_json() -> None:
    first = {"trial": 0, "value": 0.7, "images": 40, "low": 0.6, "high": 0.8}
    facts = {**RECORD.facts, "tests": [first, RECORD.facts["test"]]}
    record = StudyRecord(Direction.MAX, RECORD.trials, facts)
    tests = json.loads(render(leaderboard(record, ABOUT), "json"))["study"]["tests"]
    assert tests == [{"metric": "accuracy", **first}, TEST]


def test_formats_that_the_exported_model_lacks_are_told_with_the_reason() -> None:
    facts = {**RECORD.facts, "left_out": {"onnx": "too new"}}
    added = summary(StudyRecord(Direction.MAX, RECORD.trials, facts), ABOUT)
    assert [line for line in added if line not in summary(RECORD, ABOUT)] == [
        "left out of the exported model: onnx: too new"
    ]


def test_the_report_folder_holds_each_form(tmp_path: Path) -> None:
    home = StudyDirectory(tmp_path)
    write_report(home, leaderboard(RECORD, ABOUT))
    written = {path.name: path.read_text() for path in home.report.iterdir()}
    assert written.pop("index.html").lower().startswith("<!doctype html>")
    assert written == {
        "leaderboard.csv": render(leaderboard(RECORD, ABOUT), "csv"),
        "leaderboard.json": render(leaderboard(RECORD, ABOUT), "json"),
        "leaderboard.md": render(leaderboard(RECORD, ABOUT), "md"),
    }


@pytest.mark.parametrize(
    ("value", "shown"), [(None, "-"), (0.123456, "0.1235"), (3, "3"), ("x", "x")]
)
def test_a_cell_is_short(value: object, shown: str) -> None:
    assert format_cell(value) == shown


WIDE: dict[str, Any] = {**ABOUT, "data": {"images": {"validation": 100}}}


def test_intervals_ties_and_what_was_measured_are_shown_and_explained() -> None:
    context = RankingContext(100, exported=2, latency_ms=1.25, bytes=1000)
    grid = readable_rows(rows(RECORD, context), "accuracy")
    leader = dict(zip(grid.columns, grid.body[0], strict=True))
    assert (leader["95 %"], leader["latency ms"], leader["bytes"]) == (
        "0.796-0.926",
        "1.25",
        "1000",
    )
    assert "tie" not in grid.columns  # the other trial is clearly worse
    assert explain(grid)[-2:] == [
        "95 %: Wilson confidence interval, from the number of validation images",
        "*: the winner, which is exported and tested",
    ]
    tied = readable_rows(rows(RECORD, RankingContext(10)), "accuracy")
    assert [row[tied.columns.index("tie")] for row in tied.body] == ["=", "~", ""]
    assert [line[0] for line in explain(tied)[-3:]] == ["=", "~", "*"]


def test_a_view_cuts_every_text_format() -> None:
    view = Selection(columns=("trial", "metric", "low"), top=1)
    board = leaderboard(RECORD, WIDE)
    assert render(board, "csv", view).splitlines()[0] == "trial,metric,low"
    assert [*json.loads(render(board, "json", view))["trials"][0]] == [*view.columns]
    lines = render(board, "md", view).splitlines()
    assert lines[2:5] == [
        "| trial | metric | low |",
        "| --- | --- | --- |",
        "| 2 | 0.875 | 0.796 |",
    ]


def test_parquet_reads_back(tmp_path: Path) -> None:
    pd = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    write_parquet(tmp_path / "x.parquet", leaderboard(RECORD, ABOUT), Selection())
    frame = pd.read_parquet(tmp_path / "x.parquet")
    assert tuple(frame.columns) == COLUMNS
    assert frame["trial"].tolist() == [2, 0, 1]
    assert frame["unfrozen_layers"].tolist() == ["all", "0", "all"]
    view = Selection(("rank",), top=1)
    write_parquet(tmp_path / "y.parquet", leaderboard(RECORD, ABOUT), view)
    assert pd.read_parquet(tmp_path / "y.parquet")["rank"].tolist() == [1]


def test_a_warm_up_that_beats_every_trial_is_told() -> None:
    layers = {"backbone": "strokes", "unfrozen_layers": 15, "head_units": [64]}
    trials = (
        TrialRecord(0, "finished", layers, {0: 0.94, 1: 0.6}),
        TrialRecord(1, "finished", layers, {0: 0.90, 1: 0.93}),
    )
    assert summary(StudyRecord(Direction.MAX, trials), ABOUT)[0] == (
        "warm-up alone, before anything is unfrozen: 0.9400 (strokes, head 64), better than every "
        "trial; add 0 to space.unfrozen_layers (or unfrozen_blocks) to try the head alone"
    )
    assert summary(StudyRecord(Direction.MAX, trials[1:]), ABOUT) == []


def test_the_winner_is_marked_and_the_mark_explained() -> None:
    grid = readable_rows(rows(RECORD), "accuracy")  # its test split was evaluated
    assert [row[0] for row in grid.body] == ["1*", "2", "-"]
    assert explain(grid)[-1] == "*: the winner, which is exported and tested"
    grid = readable_rows(rows(replace(RECORD, facts={})), "accuracy")
    assert [row[0] for row in grid.body] == ["1", "2", "-"]
    assert not any(line.startswith("*") for line in explain(grid))

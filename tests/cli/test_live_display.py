"""Progress on stderr: a board on a terminal, lines elsewhere, JSON on request."""

import io
import itertools
import json
import sys
from dataclasses import replace
from datetime import datetime

import pytest

from tlsearch.base.errors import ConfigError
from tlsearch.base.phases import Phase, phase
from tlsearch.cli.live_display import (
    AT_WORK,
    Board,
    live_listener,
    running_rows,
    show_phases,
    status_lines,
)
from tlsearch.config.catalog import Direction
from tlsearch.results.live.events import EpochReported, StudyBegan, TrialBegan, TrialEnded
from tlsearch.results.live.progress import Progress

CONFIG = {"backbone": "strokes", "unfrozen_layers": 15}
BEGAN = StudyBegan("/runs/pets", "pets", "accuracy", Direction.MAX, trials=20, epochs=6, slots=2)
ENDED = TrialEnded(
    trial=0,
    state="stopped",
    reason="stopped at epoch 6: 0.874 < 0.881, place 5 of 12 at rung 6",
    config=CONFIG,
    value=0.874,
    best_epoch=6,
    epochs=6,
    seconds=1.5,
    ended=1,
    trials=20,
    leader=0,
    leader_value=0.874,
)
EVENTS = (BEGAN, TrialBegan(0, CONFIG), EpochReported(0, 6, 0.874, True), ENDED)


def emit(quiet, as_json):
    with live_listener(quiet, as_json) as listen:
        for event in EVENTS:
            listen(event)


def test_elsewhere_each_event_is_a_line_without_epochs(capsys):
    emit(False, False)
    assert capsys.readouterr() == ("", f"{BEGAN}\n{ENDED}\n")


def test_quiet_is_silent(capsys):
    emit(True, False)
    assert capsys.readouterr() == ("", "")


def test_json_is_every_event_with_its_time_on_stderr(capsys):
    emit(False, True)
    out, err = capsys.readouterr()
    found = [json.loads(line) for line in err.splitlines()]
    assert out == ""
    assert [event["event"] for event in found] == [
        "study_began",
        "trial_began",
        "epoch_reported",
        "trial_ended",
    ]
    assert all(event["time"].endswith("+00:00") for event in found)
    assert found[2] | {"time": ""} == {
        "time": "",
        "event": "epoch_reported",
        "trial": 0,
        "epoch": 6,
        "value": 0.874,
        "rung": True,
    }


def test_quiet_and_json_exclude_each_other():
    with (
        pytest.raises(ConfigError, match=r"^--quiet and --json: choose one$"),
        live_listener(True, True),
    ):
        pass


@pytest.mark.parametrize("as_json", [False, True])
def test_a_command_that_is_no_search_shows_its_phases(capsys, as_json):
    with show_phases(as_json=as_json), phase("exporting", 2, "formats") as counter:
        counter.advance(2)
    out, err = capsys.readouterr()
    first, *_, last = err.splitlines()
    assert out == ""
    if as_json:
        last_event = json.loads(last)
        assert datetime.fromisoformat(last_event.pop("time")).tzinfo is not None
        assert last_event.pop("seconds") >= 0
        assert last_event == {
            "event": "phase",
            "name": "exporting",
            "state": "ended",
            "done": 2,
            "total": 2,
            "unit": "formats",
            "subject": "",
        }
    else:
        assert first == "exporting: 0 of 2 formats"
        assert last.startswith("exporting: 2 of 2 formats in ")


def test_the_board_shows_the_phase_and_no_more_time_left_once_all_trials_have_ended():
    progress = Progress(lambda: 30.0)
    for event in (BEGAN, Phase("trials", "began", 0, 20, "trials"), replace(ENDED, ended=20)):
        progress.hear(event)
    progress.hear(Phase("trials", "ended", 20, 20, "trials"))
    progress.hear(Phase("confirming", "began", 1, 4, "runs", "", 12.0))
    printed = status_lines(progress)
    assert printed[1] == "confirming: 1 of 4 runs, 12 s"
    assert not any("left" in line for line in printed)


def test_many_workers_do_not_fill_the_board():
    progress = Progress(lambda: 0.0)
    for event in (BEGAN, Phase("trials", "began", 0, 20, "trials")):
        progress.hear(event)
    for number in range(100):
        progress.hear(Phase("tracing", "began", 0, 2, "graphs", f"trial {number}"))
    lines = [line for line in status_lines(progress) if line.startswith(("trials:", "tracing"))]
    assert len(lines) == AT_WORK
    assert lines[0].startswith("trials: 0 of 20")


def test_the_board_says_all_that_matters():
    clock = itertools.chain([0.0] * 2, itertools.repeat(30.0))
    progress = Progress(lambda: next(clock))
    assert status_lines(progress) == ["starting"]
    for event in EVENTS:
        progress.hear(event)
    progress.hear(TrialBegan(1, CONFIG))
    progress.hear(TrialBegan(2, CONFIG))
    progress.hear(EpochReported(2, 2, 0.5, True))
    assert status_lines(progress) == [
        "pets: searching",
        "1 of 20 trials ended (1 stopped)",
        "2.0 trials a minute",
        "best so far: accuracy 0.8740, trial 0 strokes unfrozen 15",
        "last: trial 0 stopped at epoch 6: 0.874 < 0.881, place 5 of 12 at rung 6",
    ]
    assert running_rows(progress) == [
        ["1", "-", "-", "-", "strokes unfrozen 15"],
        ["2", "2/6", "0.5000", "2", "strokes unfrozen 15"],
    ]


@pytest.mark.parametrize("width", [20, 40, 80, 140])
def test_no_line_of_the_board_is_wider_than_the_terminal(width):
    from rich.console import Console

    file = io.StringIO()
    console = Console(file=file, width=width, height=24)
    board = Board(console)
    for event in (*EVENTS, TrialBegan(1, CONFIG)):
        board.progress.hear(event)
    console.print(board)
    assert max(map(len, file.getvalue().splitlines())) <= width
    assert "trial" in file.getvalue()


def test_on_a_terminal_the_board_is_drawn_and_gone_at_the_end(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    emit(False, False)
    assert "1 of 20 trials ended (1 stopped)" in terminal.getvalue()
    assert terminal.getvalue().endswith("\x1b[2K")

"""The default listener of a search, and when the preparation of its export begins."""

import logging
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlsearch.results.live.events import DataRead, EpochReported
from tlsearch.search.announce import AHEAD_S, TrialEndHandler, default_listener

READ = DataRead(classes=2, images={"train\x1b[2J": 3})


def test_a_notebook_shows_a_line_per_event(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ipykernel", ModuleType("ipykernel"))
    hear = default_listener()
    hear(READ)
    hear(EpochReported(trial=0, epoch=1, value=0.5, rung=False))  # not shown: there are too many
    assert capsys.readouterr().out == "2 classes; 3 train\\x1b[2J\n"


def test_a_script_logs_them(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    with caplog.at_level(logging.INFO):
        default_listener()(READ)
    assert "2 classes; 3 train" in caplog.text
    assert capsys.readouterr().out == ""


@given(st.integers(1, 50), st.integers(1, 8), st.floats(0.01, 1e3))
def test_the_export_is_begun_when_the_last_trials_run_or_shortly_before(
    trials: int, slots: int, each_s: float
) -> None:
    before, began_s, begun = 5, 100.0, []
    config = SimpleNamespace(trials=before + trials)
    for done in range(1, trials + 1):
        budget = SimpleNamespace(spent_s=began_s + done * each_s)
        search: Any = SimpleNamespace(config=config, slots=slots, budget=budget)
        none: Any = None
        begun.append(
            TrialEndHandler(search, none, False, none, began_s, before).ends_soon(before + done)
        )
    first, idle = begun.index(True), max(0, trials - slots)  # a worker is idle from here on
    assert begun == sorted(begun)  # once begun, it stays begun
    assert first <= idle
    assert first == idle or (trials - 1 - first) * each_s <= AHEAD_S + 1e-6

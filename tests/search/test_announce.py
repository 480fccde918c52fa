"""Who hears a search that names no listener."""

import logging
import sys
from types import ModuleType

import pytest

from tlsearch.results.live.events import DataRead, EpochReported
from tlsearch.search.announce import default_listener

READ = DataRead(classes=2, images={"train\x1b[2J": 3})


def test_a_notebook_shows_a_line_per_event(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ipykernel", ModuleType("ipykernel"))
    hear = default_listener()
    hear(READ)
    hear(EpochReported(trial=0, epoch=1, value=0.5, rung=False))  # of which there are too many
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

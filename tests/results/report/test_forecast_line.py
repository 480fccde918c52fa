"""The line in reports that compares the forecast with the actual time and work."""

from pathlib import Path

import pytest

from tlsearch.config.catalog import Direction
from tlsearch.results.rank.leaderboard import leaderboard
from tlsearch.results.record.directory import StudyDirectory
from tlsearch.results.record.journal import StudyRecord, TrialRecord
from tlsearch.results.report.forecast_line import FORECAST, forecast_line, format_bytes
from tlsearch.results.report.html import render_html
from tlsearch.results.report.text import render, summary

ABOUT = {"config": {"name": "pets", "metric": "accuracy"}}
TRIALS = (TrialRecord(0, "finished", {"backbone": "strokes"}, {1: 0.5}),)
FACT = {
    "expected": {"seconds": 28.4, "epochs": 142.6, "bytes": 12_900_000},
    "actual": {"seconds": 35.0, "epochs": 180, "bytes": 12_700_000},
}
LINE = "forecast and actual cost: 28 s and 35 s; 143 and 180 epochs; 12.9 MB and 12.7 MB on disk"


def test_every_report_shows_the_forecast_against_what_came(tmp_path: Path) -> None:
    record = StudyRecord(Direction.MAX, TRIALS, {FORECAST: FACT})
    assert summary(record, ABOUT)[-1] == LINE
    assert f"- {LINE}" in render(leaderboard(record, ABOUT), "md")
    assert '"seconds": 28.4' in render(leaderboard(record, ABOUT), "json")
    assert LINE in render_html(leaderboard(record, ABOUT), StudyDirectory(tmp_path))


def test_a_study_without_a_forecast_says_nothing_of_one(tmp_path: Path) -> None:
    record = StudyRecord(Direction.MAX, TRIALS)
    assert forecast_line(record) is None
    assert not any("forecast" in line for line in summary(record, ABOUT))
    page = render_html(leaderboard(record, ABOUT), StudyDirectory(tmp_path))
    assert "forecast and actual" not in page


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 kB"), (900_000, "900 kB"), (12_345_678, "12.3 MB"), (4e9, "4.0 GB")]
)
def test_sizes_are_as_people_read_them(count: float, text: str) -> None:
    assert format_bytes(count) == text

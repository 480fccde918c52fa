"""Several studies side by side, one row per study."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tlsearch.config.location import Location
from tlsearch.results.rank.leaderboard import leaderboard_of
from tlsearch.results.record.directory import StudyDirectory
from tlsearch.results.remote.copies import readable_copy
from tlsearch.results.report.readable_table import Grid, format_cell
from tlsearch.results.report.verdict import describe_trial, last_test

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("study", "metric", "trials", "best", "95 %", "test", "seconds", "what it was", "where")


def compare(directories: Sequence[Location]) -> "pd.DataFrame":
    """Compare studies in a pandas table; `seconds` is the sum over a study's trials."""
    import pandas as pd

    return pd.DataFrame(study_rows(directories))


def comparison_text(directories: Sequence[Location]) -> Grid:
    """Compare studies in a text table; `trials` reads ended/planned."""
    return Grid(list(COLUMNS), [_cells(row) for row in study_rows(directories)])


def incomparable_reasons(directories: Sequence[Location]) -> list[str]:
    """List the reasons why the studies are not comparable: different metrics, different images."""
    abouts = [readable_copy(directory).read_about() for directory in directories]
    found = []
    if len({about["config"]["metric"] for about in abouts}) > 1:
        found.append("not comparable: the studies rank by different metrics")
    if len({about.get("data", {}).get("fingerprint") for about in abouts}) > 1:
        found.append("not comparable: the studies used different images or splits")
    return found


def study_rows(directories: Sequence[Location]) -> list[dict[str, object]]:
    """Return one row of plain values per study, in the given order."""
    return [_row(readable_copy(directory)) for directory in directories]


def _row(home: StudyDirectory) -> dict[str, object]:
    board = leaderboard_of(home)
    about, table, leader = board.about, board.rows, board.leader or {}
    test = last_test(board.record, about)
    if test is not None and test["trial"] != leader.get("trial"):
        test = None  # it belongs to an earlier winner
    return {
        "study": about["config"]["name"],
        "metric": board.metric,
        "ended": sum(row["state"] != "unfinished" for row in table),
        "planned": about["config"].get("trials"),
        "best": leader.get("metric"),
        "low": leader.get("low"),
        "high": leader.get("high"),
        "test": None if test is None else test["value"],
        "test_metric": None if test is None else test["metric"],
        "seconds": round(sum(row["seconds"] for row in table), 2),
        "trial": leader.get("trial"),
        "what": describe_trial(leader) if leader else None,
        "where": home.location,
    }


def _cells(row: Mapping[str, Any]) -> list[str]:
    return [
        row["study"],
        row["metric"],
        f"{row['ended']}/{format_cell(row['planned'])}",
        _score(row["best"]),
        "-" if row["low"] is None else f"{row['low']:.3f}-{row['high']:.3f}",
        _score(row["test"]) if row["test"] is None else f"{row['test_metric']} {row['test']:.4f}",
        f"{row['seconds']:.0f}",
        format_cell(row["what"]),
        row["where"],
    ]


def _score(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"

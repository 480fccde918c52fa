"""Printing studies to stdout or a file: leaderboard, columns, comparison, a live table."""

import dataclasses
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from tlsearch.base.errors import RecordError
from tlsearch.base.markdown import markdown_table
from tlsearch.base.shown_text import escape_controls
from tlsearch.cli.output import print_answer, print_line
from tlsearch.cli.tables import print_table
from tlsearch.config.location import Location
from tlsearch.results.rank.leaderboard import Leaderboard, leaderboard_of
from tlsearch.results.record.directory import StudyDirectory
from tlsearch.results.record.seal import at_its_end
from tlsearch.results.report.readable_table import LEAST_FIRST, readable_rows
from tlsearch.results.report.selection import Selection
from tlsearch.results.report.text import explain, render, summary
from tlsearch.results.report.verdict import verdict

WATCH_S = 2.0
WATCH_FAR_S = 10.0  # for a study in a bucket
STILL_S = 5.0
UNFINISHED = "unfinished"  # the recorded state of a trial that has not ended
LEAST_COMPARED = ("where", "seconds", "metric", "95 %", "trials")


def show(home: StudyDirectory, view: Selection | None = None) -> None:
    """Print the verdict of a study, its leaderboard, and notes on both."""
    board = mark_running(leaderboard_of(home), is_driven(home))
    lines = verdict(board).text()
    if lines and not (view and view.columns):  # with --columns, print only the table and notes
        for line in (*lines, ""):
            print_line(line)
    grid = readable_rows(board.rows, board.metric, view)
    print_table(grid.columns, grid.body, LEAST_FIRST)
    for line in (*explain(grid), *summary(board.record, board.about)):
        print_line(line)


def write(
    home: StudyDirectory,
    view: Selection,
    form: Literal["csv", "json", "md", "html", "parquet"],
    out: Path | None,
) -> None:
    """Write the leaderboard to `out`, or to stdout if `out` is None; Parquet needs `out`."""
    from tlsearch.base.files import write_text

    board = leaderboard_of(home)
    if form == "parquet":
        from tlsearch.results.report.text import write_parquet

        assert out is not None, "checked with the options"
        write_parquet(out, board, view)
        return
    if form == "html":
        from tlsearch.results.report.html import render_html

        text = render_html(board, home)
    else:
        text = render(board, form, view)
    if out is None:
        print_answer(text)
    else:
        write_text(out, text, follow=True)


def watch_study(
    home: StudyDirectory,
    view: Selection,
    every_s: float = WATCH_S,
    ended: Callable[[StudyDirectory], bool] | None = None,
) -> None:
    """Redraw the leaderboard until the study is over, then print it; Ctrl-C leaves.

    It is redrawn only on a terminal. `ended` is by default `is_over`.
    """
    ended = ended or is_over
    from rich.console import Console
    from rich.live import Live

    console = Console()
    if console.is_terminal:
        with Live(console=console, screen=True, auto_refresh=False) as live:
            while not ended(home):
                live.update(_draw(home, view, console.width, console.height), refresh=True)
                time.sleep(every_s)
    else:
        while not ended(home):
            time.sleep(every_s)
    show(home, view)


def fetch_and_check_ended(home: StudyDirectory) -> bool:
    """Download the newest state of a study in a bucket; return whether no driver runs any more."""
    from tlsearch.results.remote.bucket import Bucket
    from tlsearch.results.remote.copies import readable_copy
    from tlsearch.results.remote.lease import Lease

    url = str(home.url)
    ended = not Lease(Bucket(url)).alive()
    readable_copy(url)
    return ended


def is_driven(home: StudyDirectory) -> bool:
    """Return whether a driver is training the unfinished trials of a local study.

    Returns False for a study in a bucket, whose lease is not checked here.
    """
    return home.url is None and not at_its_end(home.journal_file) and not is_over(home)


def mark_running(board: Leaderboard, running: bool) -> Leaderboard:
    """Return the leaderboard with unfinished trials in state `running`, if `running` is true."""
    state = "running" if running else UNFINISHED
    named = [{**row, "state": state} if row["state"] == UNFINISHED else row for row in board.rows]
    return dataclasses.replace(board, rows=named)


def is_over(home: StudyDirectory) -> bool:
    """Return whether no driver runs the study: its journal is unchanged and its lock is free.

    The lock is tried only after the journal has not changed for `STILL_S`, since a driver that
    starts at that moment would find the lock taken.
    """
    # A negative age means that a clock was set back.
    if 0 <= time.time() - home.journal_file.stat().st_mtime < STILL_S:
        return False
    try:
        with home.locked():
            return True
    except RecordError:
        return False


def _draw(home: StudyDirectory, view: Selection, width: int, height: int) -> Any:
    """Draw a line with the study's progress, and as much of the leaderboard as fits the screen."""
    from rich.console import Group
    from rich.text import Text

    from tlsearch.cli.tables import rich_table, too_wide
    from tlsearch.results.live.progress import count_ended

    board = mark_running(leaderboard_of(home), running=True)
    grid, about = readable_rows(board.rows, board.metric, view), board.about
    dropped = too_wide(grid.columns, grid.body, width, LEAST_FIRST)
    total = about["config"].get("trials", "?")
    title = f"{about['config']['name']}: {count_ended(board.record.trials)} of {total} trials ended"
    body = grid.body[: max(height - 4, 1)]
    return Group(
        Text(escape_controls(f"{title} (Ctrl-C leaves)")), rich_table(grid.columns, body, dropped)
    )


def print_columns() -> None:
    """Print every column of a leaderboard and its meaning."""
    from tlsearch.results.rank.leaderboard import COLUMN_HELP

    print_table(["column", "meaning"], [[name, text] for name, text in COLUMN_HELP.items()])


def print_comparison(directories: Sequence[Location], form: Literal["table", "md"]) -> None:
    """Print studies side by side; notes on why they may not be comparable go to stderr."""
    from tlsearch.results.report.comparison import comparison_text, incomparable_reasons

    grid = comparison_text(directories)
    if form == "md":
        print_answer("".join(f"{line}\n" for line in markdown_table(grid.columns, grid.body)))
    else:
        print_table(grid.columns, grid.body, LEAST_COMPARED)
    for line in incomparable_reasons(directories):
        print_line(line, err=True)

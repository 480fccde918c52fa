"""The live progress of a command on stderr: a live table, one line per event, or JSON lines."""

import contextlib
import json
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tlsearch.base.errors import ConfigError
from tlsearch.base.shown_text import escape_controls
from tlsearch.cli.output import print_line
from tlsearch.results.live.events import Event, Listen, event_values
from tlsearch.results.live.progress import Progress, line_listener
from tlsearch.results.live.pulse import heartbeat

if TYPE_CHECKING:
    from rich.console import Console, Group

COLUMNS = ("trial", "epoch", "value", "rung", "what")
AT_WORK = 6  # most phases that the board shows, those of the command itself first


@contextlib.contextmanager
def live_listener(quiet: bool, as_json: bool) -> Iterator[Listen]:
    """Provide the event listener that suits the options and the terminal, during the block."""
    if quiet and as_json:
        raise ConfigError(["--quiet and --json: choose one"])
    if quiet:
        yield lambda event: None
    elif as_json:
        yield _say_json
    elif sys.stderr.isatty():
        with _drawing() as listen:
            yield listen
    else:
        yield line_listener(_say)


@contextlib.contextmanager
def show_phases(quiet: bool = False, as_json: bool = False) -> Iterator[None]:
    """Show the phases of the block, for a command that is not a search."""
    with live_listener(quiet, as_json) as listen, heartbeat(listen):
        yield


def _say(line: str) -> None:
    print_line(line, err=True)


def _say_json(event: Event) -> None:
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    _say(json.dumps({"time": now, **event_values(event)}, allow_nan=False, default=str))


class Board:
    """The current state of the search, as a renderable that rich draws at each refresh."""

    def __init__(self, console: "Console") -> None:
        self.progress = Progress(time.monotonic)
        self._console = console

    def __rich__(self) -> "Group":
        from rich.console import Group
        from rich.text import Text

        from tlsearch.cli.tables import rich_table, too_wide

        width = self._console.width
        parts = [
            Text(escape_controls(line), overflow="ellipsis", no_wrap=True)
            for line in status_lines(self.progress)
        ]
        body = running_rows(self.progress)[: max(self._console.height - len(parts) - 4, 1)]
        if not body:
            return Group(*parts)
        dropped = too_wide(COLUMNS, body, width, ("what", "rung"))
        return Group(*parts, Text(), rich_table(COLUMNS, body, dropped))


@contextlib.contextmanager
def _drawing() -> Iterator[Listen]:
    """Draw a live board that disappears when the block ends."""
    from rich.console import Console
    from rich.live import Live

    console = Console(stderr=True)
    board = Board(console)
    with Live(board, console=console, transient=True, redirect_stdout=False):
        yield board.progress.hear


def status_lines(progress: Progress) -> list[str]:
    """Return the lines above the table of running trials."""
    found = [f"{progress.study.name}: {progress.phase}" if progress.study else progress.phase]
    found += progress.at_work[:AT_WORK]
    if progress.study is None:
        return found
    if progress.forecast:
        found.append(progress.forecast)
    found.append(progress.counts)
    pace = "" if progress.pace is None else f"{progress.pace:.1f} trials a minute"
    if details := ", ".join(filter(None, [pace, str(progress.time)])):
        found.append(details)
    if progress.best is not None:
        trial, value, what = progress.best
        found.append(f"best so far: {progress.study.metric} {value:.4f}, trial {trial} {what}")
    if progress.decision:
        found.append(f"last: {progress.decision}")
    return found


def running_rows(progress: Progress) -> list[list[str]]:
    """Return a row of cells per running trial; a trial that waits for its slot has no epoch yet."""
    epochs = progress.study.epochs if progress.study else 0
    return [
        [
            str(number),
            "-" if trial.epoch is None else f"{trial.epoch}/{epochs}",
            "-" if trial.value is None else f"{trial.value:.4f}",
            "-" if trial.rung is None else str(trial.rung),
            trial.what,
        ]
        for number, trial in list(progress.running.items())
    ]

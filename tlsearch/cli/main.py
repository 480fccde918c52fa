"""The entry point of the command line: runs a command and turns its errors into exit codes."""

import contextlib
import io
import logging
import os
import signal
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Annotated, Any, TextIO

import typer

from tlsearch.base.errors import (
    DataError,
    DiskError,
    HungUpError,
    SearchInterruptedError,
    TlsearchError,
)
from tlsearch.base.files import disk_error
from tlsearch.base.terminal import leave_closed_terminal
from tlsearch.cli import cache_commands, cluster_commands
from tlsearch.cli.launch import plan_command, search_commands
from tlsearch.cli.models import model_commands
from tlsearch.cli.output import print_answer, print_line, print_text, printable_text
from tlsearch.cli.read import guides, replay_command, study_commands

app = typer.Typer(
    name="tlsearch",
    help="Find the best way to fine-tune a pretrained image network on your images.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for module in (
    search_commands,
    plan_command,
    study_commands,
    replay_command,
    model_commands,
    cluster_commands,
    guides,
):
    for command in module.COMMANDS:
        app.command()(command)
app.add_typer(cache_commands.app)
app.add_typer(cluster_commands.app)


# Typer bundles its own click, whose base class of usage errors has no public name.
_UsageError: Any = typer.BadParameter.__bases__[0]


class _Shown(logging.Formatter):
    """A log formatter that cleans each line as `print_text` does."""

    def format(self, record: logging.LogRecord) -> str:
        return printable_text(super().format(record))


class StderrHandler(logging.StreamHandler[TextIO]):
    """A log handler that looks up `sys.stderr` for each line: a live table stays below."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        self.stream = sys.stderr
        super().emit(record)


def _show_version(requested: bool) -> None:
    """Print the version and exit."""
    from importlib.metadata import version

    if requested:
        print_answer(f"tlsearch {version('tlsearch')}\n")
        raise typer.Exit


def _require_folder() -> None:
    """Raise DataError if the working directory was deleted, since no relative path would work."""
    try:
        os.getcwd()
    except FileNotFoundError:
        raise DataError("the working directory was deleted; change to an existing one") from None


def main() -> int:
    """Run the command line and return its exit code; expected errors print no traceback."""
    log = StderrHandler()
    log.setFormatter(_Shown("%(levelname)s: %(message)s"))
    logging.basicConfig(handlers=[log], level=logging.WARNING)
    try:
        with _interrupted_by_signals() as taken:
            _require_folder()
            code = app(standalone_mode=False)
            sys.stdout.flush()
    except TlsearchError as error:
        print_text(f"error: {error}\n", err=True)
        return error.exit_code
    except _UsageError as error:
        shown = io.StringIO()
        error.show(file=shown)
        print_text(shown.getvalue(), err=True)
        return int(error.exit_code)
    except BrokenPipeError:  # the reader of stdout closed the pipe, as `| head` does
        _discard_stdout()
        return 1  # typer's own code if it notices first
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        if not where and disk_error(error):  # only stdout is written to without a file name
            where = "standard output: "
            _discard_stdout()
        print_line(f"error: {where}{error.strerror or error}", err=True)
        return DiskError.exit_code
    if code == SearchInterruptedError.exit_code:  # typer returns it on Ctrl-C, without a message
        print_line("error: interrupted", err=True)
        return HungUpError.exit_code if signal.SIGHUP in taken else SearchInterruptedError.exit_code
    return code if isinstance(code, int) else 0


@app.callback()
def _about(
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_show_version, help="Print the version."),
    ] = False,
) -> None:
    """Find the best way to fine-tune a pretrained image network on your images."""


@contextlib.contextmanager
def _interrupted_by_signals() -> Iterator[list[int]]:
    """Make SIGTERM and SIGHUP interrupt any command as Ctrl-C does, so that it cleans up.

    Yields the list of received signals. A search installs its own handlers once its trials run. A
    signal that is already ignored stays ignored, such as SIGHUP under `nohup`.
    """
    taken: list[int] = []

    def end(number: int, frame: FrameType | None) -> None:
        taken.append(number)
        if number == signal.SIGHUP:
            leave_closed_terminal()
        raise KeyboardInterrupt

    before = {}
    with contextlib.suppress(ValueError):  # outside the main thread, the caller handles signals
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) == signal.SIG_DFL:
                before[number] = signal.signal(number, end)
    try:
        yield taken
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _discard_stdout() -> None:
    """Redirect stdout to /dev/null, so that the flush at interpreter exit does not fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())

"""The command line: argv -> one call -> exit code."""

import io
import logging
import os
import sys
from typing import Any

import typer

from tlsearch.base.errors import DataError, SearchInterruptedError, TlsearchError
from tlsearch.base.shown_text import masked, printable
from tlsearch.cli import cache_commands, cluster_commands
from tlsearch.cli.launch import plan_command, search_commands
from tlsearch.cli.models import model_commands
from tlsearch.cli.read import replay_command, study_commands
from tlsearch.cli.say import say, tell

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
):
    for command in module.COMMANDS:
        app.command()(command)
app.add_typer(cache_commands.app)
app.add_typer(cluster_commands.app)


# Typer carries its own click, whose base of all usage errors has no public name.
_UsageError: Any = typer.BadParameter.__bases__[0]


class _Shown(logging.Formatter):
    """A log's line as `tell` prints it."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(masked(super().format(record)), keep="\n\t")


def _require_folder() -> None:
    """Raise DataError where the working directory was deleted: no relative path means anything."""
    try:
        os.getcwd()
    except FileNotFoundError:
        raise DataError("the working directory was deleted; change to one that is there") from None


def main() -> int:
    """Run the command line; a user's mistake is a message and an exit code, never a traceback."""
    log = logging.StreamHandler()
    log.setFormatter(_Shown("%(levelname)s: %(message)s"))
    logging.basicConfig(handlers=[log], level=logging.WARNING)
    try:
        _require_folder()
        code = app(standalone_mode=False)
        sys.stdout.flush()
    except TlsearchError as error:
        tell(f"error: {error}\n", err=True)
        return error.exit_code
    except _UsageError as error:
        shown = io.StringIO()
        error.show(file=shown)
        tell(shown.getvalue(), err=True)
        return int(error.exit_code)
    except BrokenPipeError:  # the reader of our output had enough, as `| head` has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1  # as typer does where it notices first
    except OSError as error:
        if error.filename is None:
            raise
        say(f"error: {error.filename}: {error.strerror}", err=True)
        return DataError.exit_code
    if code == SearchInterruptedError.exit_code:  # typer ends so on Ctrl-C, without a word
        say("error: interrupted", err=True)
    return code if isinstance(code, int) else 0


if __name__ == "__main__":
    sys.exit(main())

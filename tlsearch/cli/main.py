"""The command line: argv -> one call -> exit code."""

import logging
import os
import sys
from typing import Any

import typer

from tlsearch.base.errors import DataError, SearchInterruptedError, TlsearchError
from tlsearch.cli import cache_commands, cluster_commands
from tlsearch.cli.launch import plan_command, search_commands
from tlsearch.cli.models import model_commands
from tlsearch.cli.read import replay_command, study_commands

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


def main() -> int:
    """Run the command line; a user's mistake is a message and an exit code, never a traceback."""
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    try:
        code = app(standalone_mode=False)
        sys.stdout.flush()
    except TlsearchError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except _UsageError as error:
        error.show()
        return int(error.exit_code)
    except BrokenPipeError:  # the reader of our output had enough, as `| head` has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1  # as typer does where it notices first
    except OSError as error:
        if error.filename is None:
            raise
        print(f"error: {error.filename}: {error.strerror}", file=sys.stderr)
        return DataError.exit_code
    if code == SearchInterruptedError.exit_code:  # typer ends so on Ctrl-C, without a word
        print("error: interrupted", file=sys.stderr)
    return code if isinstance(code, int) else 0


if __name__ == "__main__":
    sys.exit(main())

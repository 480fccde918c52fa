"""The command line: argv -> one call -> exit code."""

import logging
import sys

import click
import typer

from tlsearch.cli import models, reading, searching
from tlsearch.errors import TlsearchError

app = typer.Typer(
    name="tlsearch",
    help="Find the best way to fine-tune a pretrained image network on your images.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for module in (searching, reading, models):
    for command in module.COMMANDS:
        app.command()(command)


def main() -> int:
    """Run the command line; a user's mistake is a message and an exit code, never a traceback."""
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    try:
        app(standalone_mode=False)
    except TlsearchError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        print("error: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output had enough, as `| head` has
        sys.stderr.close()
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())

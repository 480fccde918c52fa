"""Commands that read a study: report."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from tlsearch.cli.options import StudyDir


def report(
    directory: StudyDir,
    format: Annotated[
        Literal["table", "csv", "json", "md"], typer.Option(help="How to write the leaderboard.")
    ] = "table",
    out: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Write there instead of to stdout.")
    ] = None,
) -> None:
    """Show the ranked trials of a study, also while it runs."""
    from tlsearch.errors import ConfigError
    from tlsearch.files import write_text
    from tlsearch.results.journal import read
    from tlsearch.results.report import render
    from tlsearch.results.storage import StudyDirectory

    if format == "table":
        if out is not None:
            raise ConfigError(["--out needs --format csv, json or md: a table is for the screen"])
        show(directory)
        return
    home = StudyDirectory(directory)
    about = home.read_about()
    text = render(read(home.journal_file), about, format)
    if out is None:
        print(text, end="")
    else:
        write_text(out, text)


def show(directory: Path) -> None:
    """Print a study's leaderboard and what to know beside it."""
    from tlsearch.cli.tables import print_table
    from tlsearch.results.journal import read
    from tlsearch.results.report import readable, summary
    from tlsearch.results.storage import StudyDirectory

    home = StudyDirectory(directory)
    about, record = home.read_about(), read(home.journal_file)
    columns, body = readable(record, about["config"]["metric"])
    print_table(columns, body)
    for line in summary(record, about):
        print(line)


COMMANDS = (report,)

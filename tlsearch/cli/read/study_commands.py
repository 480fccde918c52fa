"""Commands for studies: report, compare, upload."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tlsearch.cli.options import StudyDir, require_local_path
from tlsearch.cli.output import print_line

if TYPE_CHECKING:
    from tlsearch.results.record.directory import StudyDirectory
    from tlsearch.results.report.selection import Selection

Format = Literal["table", "csv", "json", "md", "html", "parquet"]


def report(
    directory: StudyDir,
    format: Annotated[Format, typer.Option(help="The format of the leaderboard.")] = "table",
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            callback=require_local_path,
            help="Write to this file instead of stdout.",
        ),
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,C", help="The columns to show; `help` lists them with their meanings."
        ),
    ] = None,
    filter: Annotated[
        str | None,
        typer.Option(
            metavar="CONDITION",
            help="Only trials for which it holds: comparisons of columns with values, joined by "
            "and, or, not. E.g. \"backbone == 'mobilenet_v2' and metric > 0.9\".",
        ),
    ] = None,
    top: Annotated[int | None, typer.Option(min=1, help="Only the first N rows.")] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Redraw every 2 s until the study has ended.")
    ] = False,
) -> None:
    """Show the ranked trials of a study, also while it runs or after a crash.

    Trials are ranked by the metric at their best epoch. 95 % is Wilson's interval of an accuracy,
    from the number of validation images. = marks trials that the validation split cannot tell from
    the leader; ~ marks those for which only the intervals say so, as predictions are missing.
    `--columns help` lists every column with its meaning.
    """
    from tlsearch.cli.read.study_tables import print_columns, show, write
    from tlsearch.config.location import as_location
    from tlsearch.results.remote.copies import readable_copy
    from tlsearch.results.remote.differences import of_page, of_table

    if columns == "help":
        print_columns()
        return
    view = _view(columns, filter, top)
    _check(format, out, view, watch)
    home = readable_copy(as_location(directory), of_page if format == "html" else of_table)
    if watch:
        _watch(home, view)
    elif format == "table":
        show(home, view)
    else:
        write(home, view, format, out)


def compare(
    directories: Annotated[
        list[str], typer.Argument(metavar="DIR...", help="Study directories, or URLs of them.")
    ],
    format: Annotated[Literal["table", "md"], typer.Option(help="The output format.")] = "table",
) -> None:
    """Compare studies side by side: best trial, its interval, test score and configuration."""
    from tlsearch.cli.read.study_tables import print_comparison
    from tlsearch.config.location import as_location

    print_comparison([as_location(one) for one in directories], format)


def upload(
    directory: Annotated[
        Path,
        typer.Argument(metavar="DIR", callback=require_local_path, help="A local study directory."),
    ],
    url: Annotated[
        str, typer.Argument(metavar="URL", help="s3://BUCKET/PATH, gs://..., file:///PATH")
    ],
) -> None:
    """Upload a local study to a bucket.

    This also completes the upload of a search that could not reach the bucket. Fails if the bucket
    holds a different study there, or a newer state of this one.
    """
    from tlsearch.results.remote.driver import upload as send

    send(directory, url.rstrip("/"))
    print_line(url)


def _watch(home: "StudyDirectory", view: "Selection") -> None:
    from tlsearch.cli.read.study_tables import WATCH_FAR_S, fetch_and_check_ended, watch_study

    if home.url is None:
        watch_study(home, view)
    else:
        watch_study(home, view, WATCH_FAR_S, fetch_and_check_ended)


def _view(columns: str | None, condition: str | None, top: int | None) -> "Selection":
    from tlsearch.results.report.selection import Selection, parse_columns, parse_filter

    return Selection(
        columns=() if columns is None else parse_columns(columns),
        keep=None if condition is None else parse_filter(condition),
        top=top,
    )


def _check(form: Format, out: Path | None, view: "Selection", watch: bool) -> None:
    """Raise ConfigError if options cannot be combined."""
    from tlsearch.base.errors import ConfigError

    narrowed = view.columns or view.keep or view.top
    problems = {
        "--out needs --format csv, json, md, html or parquet: a table is for the screen": (
            form == "table" and out is not None
        ),
        "--format parquet needs --out: it is not text": form == "parquet" and out is None,
        "--watch needs --format table": watch and form != "table",
        "--format html shows the whole study: it takes no --columns, --filter or --top": (
            form == "html" and bool(narrowed)
        ),
    }
    found = [text for text, wrong in problems.items() if wrong]
    if found:
        raise ConfigError(found)


COMMANDS = (report, compare, upload)

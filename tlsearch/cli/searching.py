"""Commands that begin or prepare a search: run, resume, validate, init, backbones."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tlsearch.cli.options import Set, Space, StudyDir

if TYPE_CHECKING:
    from tlsearch.search.study import Study


def run(
    space: Space = "quickstart",
    study: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where the study goes. [default: STORAGE/NAME]"),
    ] = None,
    trials: Annotated[int | None, typer.Option(min=1, help="How many trials.")] = None,
    set_: Set = None,
) -> None:
    """Run a search; prints the ranked trials."""
    from tlsearch.config.load import load
    from tlsearch.search.study import run as run_search

    settings = [*(set_ or []), *([] if trials is None else [f"trials={trials}"])]
    _finish(run_search(load(space, settings), study, _log))


def resume(directory: StudyDir) -> None:
    """Go on with a study that was interrupted or killed."""
    from tlsearch.search.study import resume as resume_search

    _finish(resume_search(directory, _log))


def validate(space: Space, set_: Set = None) -> None:
    """Check a search space and print it as it would run."""
    from tlsearch.config.load import dump, load

    print(dump(load(space, set_ or [])), end="")


def init(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="A folder that holds a folder a class.")
    ],
) -> None:
    """Print a search space for your own pictures."""
    from tlsearch.search.template import template

    print(template(folder), end="")


def backbones() -> None:
    """List the backbones that a search space can name."""
    from tlsearch.cli.tables import print_table
    from tlsearch.config import catalog

    body = [
        [row.name, str(row.layers), str(row.image_px), str(row.min_px), row.default_weights]
        for row in catalog.backbones()
    ]
    print_table(["backbone", "layers", "image_px", "least image_px", "default weights"], body)


def _log(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _finish(study: "Study") -> None:
    """Show what came of the search; one that was cut short then ends with its own exit code."""
    from tlsearch.cli.reading import show

    home = study.home
    show(home.root)
    print(f"report: {home.report}")
    if study.ended_by is not None:
        raise study.ended_by
    print(f"model:  {home.best / 'model.keras'}")


COMMANDS = (run, resume, validate, init, backbones)

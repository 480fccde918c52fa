"""Arguments and options that several commands share."""

from typing import Annotated

import typer

Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change one key of the search space, e.g. data.path=photos. Repeatable.",
    ),
]
Space = Annotated[
    str, typer.Argument(metavar="SPACE", help="A search space: a YAML file, or a shipped name.")
]
StudyDir = Annotated[
    str, typer.Argument(metavar="DIR", help="A study directory, or the URL of one.")
]

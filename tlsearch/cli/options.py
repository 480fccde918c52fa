"""Arguments and options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer


def require_local_paths(paths: list[Path]) -> list[Path]:
    """Return the paths of an argument; raises ConfigError if one is a URL."""
    for path in paths:
        require_local_path(path)
    return paths


def require_local_path(path: Path | None) -> Path | None:
    """Return the path of an option; raises ConfigError for a URL, which would become a folder."""
    from tlsearch.base.errors import ConfigError
    from tlsearch.config.location import local_path

    try:
        return None if path is None else local_path(path)
    except ValueError as error:
        raise ConfigError([str(error)]) from None


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
Quiet = Annotated[bool, typer.Option("--quiet", help="Write nothing to stderr during the search.")]
Json = Annotated[
    bool,
    typer.Option(
        "--json",
        help="Write each event, epochs included, as a line of JSON to stderr.",
    ),
]

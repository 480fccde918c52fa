"""The command that prints the guides, which are the READMEs inside the package: help."""

from pathlib import Path
from typing import Annotated

import typer

from tlsearch.base.machine import PACKAGE
from tlsearch.cli.output import print_answer, print_line

# Maps a topic to its file, in the package or beside it.
GUIDES = {
    "spaces": "search_spaces/README.md",
    "reports": "results/report/README.md",
    "study": "results/record/README.md",
    "model": "bundle/README.md",
    "cost": "search/cost/README.md",
    "cluster": "search/cluster/README.md",
    "code": "README.md",
}


def help(
    topic: Annotated[
        str | None, typer.Argument(metavar="[TOPIC]", help="The name of a guide.")
    ] = None,
) -> None:
    """Print a guide, or the list of all guides."""
    from tlsearch.base.errors import ConfigError
    from tlsearch.config.spelling import did_you_mean

    if topic is None:
        _print_list()
    elif topic in GUIDES:
        print_answer(guide_path(topic).read_text(encoding="utf-8"))
    else:
        raise ConfigError([f"unknown topic '{topic}', {did_you_mean(topic, GUIDES)}"])


def guide_path(topic: str) -> Path:
    """Return a guide's file; in an editable install, `search_spaces` lies beside the package."""
    folders = (PACKAGE, PACKAGE.parent)
    return next(f / GUIDES[topic] for f in folders if (f / GUIDES[topic]).is_file())


def _print_list() -> None:
    width = max(map(len, GUIDES))
    for topic in GUIDES:
        title = guide_path(topic).read_text(encoding="utf-8").splitlines()[0].lstrip("# ")
        print_line(f"{topic.ljust(width)}  {title}")
    print_line("`tlsearch help TOPIC` prints one; `tlsearch COMMAND --help` describes a command.")


COMMANDS = (help,)

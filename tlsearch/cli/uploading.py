"""The command that sends a local study to a bucket: upload."""

from pathlib import Path
from typing import Annotated

import typer


def upload(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A local study directory.")],
    url: Annotated[
        str, typer.Argument(metavar="URL", help="s3://BUCKET/PATH, gs://..., file:///PATH")
    ],
) -> None:
    """Send a local study to a bucket, or what a search could not send while it was away.

    Refused where the study there is another one, or further than this one.
    """
    from tlsearch.results.working import upload as send

    send(directory, url.rstrip("/"))
    print(url)


COMMANDS = (upload,)

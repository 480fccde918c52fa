"""Local copies of studies in a bucket: one for the driver, one for readers."""

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from filelock import FileLock

from tlsearch.base.errors import RecordError
from tlsearch.config.location import Location, aws_endpoint, is_url
from tlsearch.results.record.directory import StudyDirectory
from tlsearch.results.record.file_names import ABOUT, FETCH_LOCK, JOURNAL
from tlsearch.results.remote.differences import Names, of_table

if TYPE_CHECKING:
    from tlsearch.results.remote.sync import Mirror

COPIES = Path("~/.cache/tlsearch/studies")


def work_copy(url: str) -> Path:
    """Return the local folder in which the driver of a study in a bucket works."""
    return _copy("work", url)


def read_copy(url: str) -> Path:
    """Return the local folder of files read from a study in a bucket, beside a driver's copy."""
    return _copy("read", url)


def _copy(kind: str, url: str) -> Path:
    parts = urlsplit(url.rstrip("/"))
    host = aws_endpoint()[1] if parts.scheme == "s3" else ""
    middle = [host] if host else []
    named = [*middle, *f"{parts.netloc}{parts.path}".strip("/").split("/")]
    return COPIES.expanduser().joinpath(kind, parts.scheme, *named)


def readable_copy(location: Location, wanted: Names = of_table) -> StudyDirectory:
    """Return a study directory to read; for a URL, the `wanted` files are fetched first.

    Raises RecordError if there is no study at the URL or if it is damaged, and StorageError if the
    storage cannot be reached.
    """
    if not is_url(location):
        return StudyDirectory(Path(location))
    from tlsearch.results.remote.bucket import Bucket
    from tlsearch.results.remote.sync import Mirror

    bucket = Bucket(str(location))
    home = StudyDirectory(read_copy(bucket.url), bucket.url)
    home.root.mkdir(parents=True, exist_ok=True)
    with FileLock(home.folder(FETCH_LOCK)):
        there = bucket.stamps()
        if ABOUT not in there:
            bucket.require()
            raise RecordError(f"{bucket.url}: no study there (no {ABOUT} in it)")
        mirror = Mirror(home.root, bucket)
        came = mirror.fetch(wanted, there)
        _require_sound(home, mirror, came)
    return home


def fetch_file(home: StudyDirectory, name: str) -> None:
    """Fetch one more file of a study that is read from a URL; do nothing for other studies."""
    if home.url is not None and home.root == read_copy(home.url):
        readable_copy(home.url, lambda one: of_table(one) or one == name)


def _require_sound(home: StudyDirectory, mirror: "Mirror", came: list[str]) -> None:
    """Raise RecordError with the URL if the fetched study file or journal is damaged.

    Both are then deleted, so that the next read fetches them again.
    """
    try:
        if ABOUT in came:
            home.read_about()
        if JOURNAL in came:
            home.journal.record()
    except RecordError as error:
        for name in (ABOUT, JOURNAL):
            (home.root / name).unlink(missing_ok=True)
        raise RecordError(f"{mirror.bucket.url}: {error}") from error

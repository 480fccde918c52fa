"""Where studies lie: a folder of this machine, or the URL of a bucket or a shared folder."""

from pathlib import Path
from urllib.parse import urlsplit

Place = Path | str  # a URL is a str: as a Path it would lose a slash

# Scheme of a URL -> what it names.
SCHEMES = {
    "s3": "S3, and what speaks its protocol",
    "gs": "Google Cloud Storage",
    "file": "a shared folder",
}
EXPECTED = "s3://BUCKET/PATH, gs://BUCKET/PATH or file:///PATH"


def is_url(place: Place) -> bool:
    """Whether it is a URL and not a path."""
    return isinstance(place, str) and "://" in place


def as_place(text: Place) -> Place:
    """What a user wrote, as a path or a URL without its last slash."""
    return str(text).rstrip("/") if is_url(text) else Path(text)


def within(folder: Place, name: str) -> Place:
    """A folder in it."""
    return folder / name if isinstance(folder, Path) else f"{str(folder).rstrip('/')}/{name}"


def problem(url: str) -> str | None:
    """Why no study can lie at a URL; None where one can."""
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES:
        return f"found {url}, expected {EXPECTED}"
    named = parts.path.strip("/") if parts.scheme == "file" else parts.netloc
    outside = parts.scheme == "file" and parts.netloc
    if not named or outside or parts.query or parts.fragment or ".." in parts.path.split("/"):
        return f"found {url}, expected {EXPECTED}"
    return None

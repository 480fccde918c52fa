"""The locations of studies: a folder of this machine, or the URL of a bucket or a shared folder."""

import os
import re
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator

from tlsearch.base.errors import ConfigError
from tlsearch.base.shown_text import mask_urls

Location = Path | str  # a URL is a str: as a Path it would lose a slash

# Scheme of a URL -> what it names.
SCHEMES = {
    "s3": "S3 and compatible storage",
    "gs": "Google Cloud Storage",
    "file": "a shared folder",
}
# Scheme of a URL -> the environment variables for access to its bucket from any machine. Variables
# that refer to a file of this machine, such as AWS_PROFILE, are not among them.
VARIABLES = {
    "s3": (
        "AWS_ENDPOINT_URL",
        "AWS_ENDPOINT_URL_S3",
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
    ),
    "gs": ("GOOGLE_CLOUD_PROJECT",),
}
ELSEWHERE = "give them in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or in a profile"
EXPECTED = "s3://BUCKET/PATH, gs://BUCKET/PATH or file:///PATH"


def is_url(location: Location) -> bool:
    """Whether a location is a URL and not a path."""
    return isinstance(location, str) and "://" in location


def as_location(text: Location) -> Location:
    """The user's text as a path, or as a URL without its trailing slash."""
    return str(text).rstrip("/") if is_url(text) else Path(text)


def subfolder(folder: Location, name: str) -> Location:
    """A folder within a location."""
    return folder / name if isinstance(folder, Path) else f"{str(folder).rstrip('/')}/{name}"


def url_problem(url: str) -> str | None:
    """The reason why a URL cannot hold a study; None if it can."""
    found = f"found {mask_urls(url)}"
    if has_user(url):
        return f"{found}, with credentials in it: {ELSEWHERE}"
    try:
        parts = urlsplit(url)
    except ValueError:  # a bracket that does not enclose an IPv6 address
        return f"{found}, expected {EXPECTED}"
    if parts.scheme not in SCHEMES or ":" in parts.netloc:
        return f"{found}, expected {EXPECTED}"
    named = parts.path.strip("/") if parts.scheme == "file" else parts.netloc
    outside = parts.scheme == "file" and parts.netloc
    if not named or outside or parts.query or parts.fragment or ".." in parts.path.split("/"):
        return f"{found}, expected {EXPECTED}"
    return None


def has_user(url: str) -> bool:
    """Whether a URL holds a user's name or a password, which would be written into records."""
    return bool(re.match(r"[^/]*://([^/@]*@|[^/@]*:[^@]*@)", url))


def local_path(path: Path) -> Path:
    """The path itself; raises ValueError for a URL, or if `~NAME` names no user."""
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", str(path)):
        raise ValueError(
            f"found {mask_urls(str(path))}, expected a path of this machine, not a URL"
        )
    try:
        path.expanduser()
    except RuntimeError:
        raise ValueError(f"found {path}, but there is no home directory for ~ in it") from None
    return path


LocalPath = Annotated[Path, AfterValidator(local_path)]


def access_variables(location: Location) -> dict[str, str]:
    """The environment variables that are set for access to a URL's bucket; none for a path.

    Raises ConfigError for credentials in the endpoint.
    """
    aws_endpoint()
    names = VARIABLES.get(str(location).partition("://")[0], ()) if is_url(location) else ()
    return {name: value for name in names if (value := os.environ.get(name))}


def aws_endpoint() -> tuple[str, str]:
    """Scheme and host of AWS_ENDPOINT_URL, "" if unset; raises ConfigError for credentials."""
    url = os.environ.get("AWS_ENDPOINT_URL", "")
    if has_user(url):
        raise ConfigError([f"AWS_ENDPOINT_URL: found {url}, with credentials in it: {ELSEWHERE}"])
    scheme, _, host = url.rpartition("://")
    return scheme, host.strip("/")

"""Whole files under a URL in S3, Google Cloud Storage or a shared folder, through pyarrow."""

import os
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import pyarrow as pa
from pyarrow import fs

from tlsearch.base.errors import ConfigError, StorageError
from tlsearch.base.files import atomic_file
from tlsearch.base.links import path_inside
from tlsearch.config.location import aws_endpoint, url_problem
from tlsearch.results.remote.differences import Stamp

T = TypeVar("T")

WAITS_S = (0.2, 0.5, 1.0)  # between attempts at one request
CONNECT_S, REQUEST_S = 5.0, 60.0
RETRY_S = 20  # for retries by Google's client itself, whose default is 15 minutes

# Errors that no retry can fix, as the SDK spells them.
_REFUSALS = (
    "NO_SUCH_BUCKET",
    "ACCESS_DENIED",
    "INVALID_ACCESS_KEY_ID",
    "INVALID_CLIENT_TOKEN_ID",
    "SIGNATURE_DOES_NOT_MATCH",
    "EXPIRED_TOKEN",
)
_CHECKS = {
    "s3": "the bucket's name, the credentials (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a "
    "profile, or the machine's role) and the endpoint (AWS_ENDPOINT_URL is {endpoint})",
    "gs": "the bucket's name and the credentials (GOOGLE_APPLICATION_CREDENTIALS, or the machine's "
    "service account)",
    "file": "that the folder is mounted and that you may write there",
}


class Bucket:
    """The files under one URL; every request is retried a few times.

    Raises ConfigError for any other kind of URL, FileNotFoundError if the storage answers that a
    file does not exist, and StorageError with hints on what to check if the storage cannot be
    reached or refuses a request. Links in a shared folder are not followed: they raise RecordError.
    """

    def __init__(self, url: str, waits_s: tuple[float, ...] = WAITS_S) -> None:
        wrong = url_problem(url)
        if wrong is not None:
            raise ConfigError([wrong])
        parts = urlsplit(url.rstrip("/"))
        self.url, self.scheme = url.rstrip("/"), parts.scheme
        self.root = parts.path if self.scheme == "file" else f"{parts.netloc}{parts.path}"
        self._waits_s = waits_s
        self._system = self._with_retries(
            lambda: _SYSTEMS[self.scheme](parts.netloc, 1 + len(waits_s))
        )

    def stamps(self) -> dict[str, Stamp]:
        """Return the stamp of every file under the URL, by its name relative to the URL."""
        chosen = fs.FileSelector(self.root, recursive=True, allow_not_found=True)
        found = self._with_retries(lambda: self._system.get_file_info(chosen))
        return {
            info.path[len(self.root) + 1 :]: _stamp(info)
            for info in found
            if info.type == fs.FileType.File
        }

    def stamp(self, name: str) -> Stamp:
        """Return one file's size in bytes and its modification time by the storage's own clock."""
        info = self._with_retries(lambda: self._system.get_file_info(self._path(name)))
        if info.type != fs.FileType.File:
            raise FileNotFoundError(f"{self.url}/{name}")
        return _stamp(info)

    def read(self, name: str) -> bytes:
        """Return the content of a file."""
        return self._with_retries(lambda: self._read(name))

    def write(self, name: str, data: bytes) -> Stamp:
        """Write a file atomically, so that readers see the old or the new one; return its stamp."""
        self._with_retries(lambda: self._write(name, data))
        return self.stamp(name)

    def remove(self, name: str) -> None:
        """Delete a file if it exists."""
        try:
            self._with_retries(lambda: self._system.delete_file(self._path(name)))
        except FileNotFoundError:
            return

    def require(self) -> None:
        """Raise StorageError if the bucket itself does not exist."""
        if self.scheme != "file":
            name = self.root.split("/")[0]
            if (
                self._with_retries(lambda: self._system.get_file_info(name)).type
                == fs.FileType.NotFound
            ):
                raise self._error("there is no such bucket")

    def _read(self, name: str) -> bytes:
        if self.scheme == "file":
            path_inside(Path(self.root), *name.split("/"))
        with self._system.open_input_file(self._path(name)) as file:
            expected, data = file.size(), bytes(file.read())
        if len(data) != expected:
            raise OSError(f"{name}: {len(data)} of {expected} bytes came")
        return data

    def _write(self, name: str, data: bytes) -> None:
        """Write in one call: a stream that fails between two calls is closed as if complete."""
        if self.scheme == "file":
            *folders, last = name.split("/")
            with atomic_file(path_inside(Path(self.root), *folders) / last) as target:
                target.write(data)
        else:
            with self._system.open_output_stream(self._path(name)) as stream:
                stream.write(data)

    def _path(self, name: str) -> str:
        return f"{self.root}/{name}"

    def _with_retries(self, call: Callable[[], T]) -> T:
        for wait_s in (*self._waits_s, None):
            try:
                return call()
            except FileNotFoundError:
                raise
            except (OSError, pa.ArrowException) as error:
                if wait_s is None or any(text in str(error) for text in _REFUSALS):
                    raise self._error(str(error).splitlines()[0]) from error
                time.sleep(wait_s)
        raise AssertionError("the last try returns or raises")

    def _error(self, why: str) -> StorageError:
        at = os.environ.get("AWS_ENDPOINT_URL", "not set")
        check = _CHECKS[self.scheme].format(endpoint=at)
        return StorageError(f"{self.url}: the storage cannot be used ({why}); check {check}")


def _stamp(info: Any) -> Stamp:
    return info.size, info.mtime_ns or 0


def _s3(bucket: str, tries: int) -> Any:
    scheme, host = aws_endpoint()
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if region is None:
        region = "us-east-1" if host else fs.resolve_s3_region(bucket)
    return fs.S3FileSystem(
        region=region,
        scheme=scheme or "https",
        endpoint_override=host or None,
        allow_delayed_open=True,  # so that a small file takes one request
        connect_timeout=CONNECT_S,
        request_timeout=REQUEST_S,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=tries),  # per part
    )


def _google(bucket: str, tries: int) -> Any:
    return fs.GcsFileSystem(retry_time_limit=timedelta(seconds=RETRY_S))


def _shared_folder(host: str, tries: int) -> Any:
    return fs.LocalFileSystem()


_SYSTEMS: dict[str, Callable[[str, int], Any]] = {"s3": _s3, "gs": _google, "file": _shared_folder}

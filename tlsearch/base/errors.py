"""The errors that users see, each with the exit code of the command."""

from collections.abc import Sequence
from typing import ClassVar

from tlsearch.base.shown_text import escape_controls, mask_urls, shorten

MOST_PROBLEMS = 50


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, or the name of its type if it has no message."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def last_line(text: str, otherwise: str) -> str:
    """Return the last line of a text, or `otherwise` if it is blank.

    The last line of a traceback is the error itself.
    """
    return (text.strip().splitlines() or [otherwise])[-1]


class TlsearchError(Exception):
    """An error with a clear message, shown without a traceback.

    The message never holds a secret, so any caller may log it: credentials in URLs are masked.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str = "") -> None:
        super().__init__(mask_urls(str(message)))


class ConfigError(TlsearchError):
    """A configuration or command that cannot run; `problems` holds one bounded line per problem."""

    exit_code = 2

    def __init__(self, problems: Sequence[str]) -> None:
        lines = [shorten(escape_controls(mask_urls(problem))) for problem in problems]
        if len(lines) > MOST_PROBLEMS + 1:
            lines = [*lines[:MOST_PROBLEMS], "... and more: correct these first"]
        super().__init__("\n".join(lines))
        self.problems = tuple(lines)

    def __reduce__(self) -> tuple[type["ConfigError"], tuple[tuple[str, ...]]]:
        return type(self), (self.problems,)


class DataError(TlsearchError):
    """The images cannot be used as they are: missing, unreadable, an empty class, bad splits."""

    exit_code = 3


class PictureError(DataError):
    """An image that cannot be read; `reason` says why, without the image's name."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.name, self.reason = name, reason

    def __reduce__(self) -> tuple[type["PictureError"], tuple[str, str]]:
        return type(self), (self.name, self.reason)


class PictureFormatError(PictureError):
    """A file that is not an image in a supported format."""


class PictureSizeError(PictureError):
    """An image with more pixels or bytes than the limit."""


class WeightsError(TlsearchError):
    """The pretrained weights of a backbone cannot be obtained or do not fit it."""

    exit_code = 3


class ClusterError(TlsearchError):
    """Ray cannot be started or reached, or lacks the resources that a trial requests."""

    exit_code = 3


class StorageError(TlsearchError):
    """The bucket or shared folder of a study cannot be reached or denies access."""

    exit_code = 3


class DiskError(TlsearchError):
    """A file cannot be written: the disk is full, over quota, read-only, or access is denied."""

    exit_code = 3


class RecordError(TlsearchError):
    """A study directory, journal or model file is missing, damaged or in use."""

    exit_code = 4


class StudyError(TlsearchError):
    """The whole study failed: no trial succeeded, or every further one would fail as well."""

    exit_code = 1


class OutOfMemoryError(TlsearchError):
    """A trial that runs out of device memory even with its batch split in two."""

    exit_code = 1


class SearchInterruptedError(TlsearchError):
    """The user or a signal interrupted the command; completed trials are kept."""

    exit_code = 130


class HungUpError(SearchInterruptedError):
    """The terminal of the search was closed (SIGHUP); the trials that ended are ranked."""

    exit_code = 129

"""Every error raised on purpose, with the exit code that the command line ends with."""

from collections.abc import Sequence
from typing import ClassVar

from tlsearch.base.shown_text import masked, printable, shortened

MOST_PROBLEMS = 50


def first_line(error: Exception) -> str:
    """The first line of what an error of a library says, its kind where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def last_line(text: str, otherwise: str) -> str:
    """The last line of what a process or a library says: of a traceback, the error itself."""
    return (text.strip().splitlines() or [otherwise])[-1]


class TlsearchError(Exception):
    """A mistake or a mishap that has a clear message; shown without a traceback.

    No message holds a secret: whoever catches it may write it into a log.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str = "") -> None:
        super().__init__(masked(str(message)))


class ConfigError(TlsearchError):
    """What the user wrote cannot be run; holds the problems found, one bounded line each."""

    exit_code = 2

    def __init__(self, problems: Sequence[str]) -> None:
        told = [shortened(printable(masked(problem))) for problem in problems]
        if len(told) > MOST_PROBLEMS + 1:
            told = [*told[:MOST_PROBLEMS], "... and more: correct these first"]
        super().__init__("\n".join(told))
        self.problems = tuple(told)

    def __reduce__(self) -> tuple[type["ConfigError"], tuple[tuple[str, ...]]]:
        return type(self), (self.problems,)


class DataError(TlsearchError):
    """The images cannot be used as they are: missing, unreadable, empty class, odd splits."""

    exit_code = 3


class PictureError(DataError):
    """One picture cannot be read; `reason` says why without the picture's name."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.name, self.reason = name, reason

    def __reduce__(self) -> tuple[type["PictureError"], tuple[str, str]]:
        return type(self), (self.name, self.reason)


class PictureFormatError(PictureError):
    """The bytes are no picture of a known format."""


class PictureSizeError(PictureError):
    """The picture has more pixels, or bytes, than are taken."""


class WeightsError(TlsearchError):
    """The pretrained weights of a backbone cannot be had or do not fit it."""

    exit_code = 3


class ClusterError(TlsearchError):
    """Ray cannot be started, reached, or given the resources that a trial asks for."""

    exit_code = 3


class StorageError(TlsearchError):
    """The bucket or shared folder of a study cannot be reached, or refuses."""

    exit_code = 3


class DiskError(TlsearchError):
    """A file cannot be written: the disk is full, over its quota, read-only, or not ours."""

    exit_code = 3


class RecordError(TlsearchError):
    """A study directory, journal or model file is missing, damaged or in use."""

    exit_code = 4


class StudyError(TlsearchError):
    """The study as a whole failed: its first trials all failed in the same way."""

    exit_code = 1


class OutOfMemoryError(TlsearchError):
    """A configuration for which this machine's memory does not suffice."""

    exit_code = 1


class SearchInterruptedError(TlsearchError):
    """The user ended the search early; what is done has been ranked."""

    exit_code = 130


class HungUpError(SearchInterruptedError):
    """The terminal of the search was closed (SIGHUP); what is done has been ranked."""

    exit_code = 129

"""All printing to the terminal: control characters are escaped and secrets masked."""

import sys

from tlsearch.base.shown_text import masked, printable


def say(line: str = "", *, err: bool = False) -> None:
    """Print one line; control characters and line breaks in it are escaped."""
    _print(printable(masked(line), keep="\t") + "\n", err)


def tell(text: str, *, err: bool = False) -> None:
    """Print text of several lines; control characters other than tabs and newlines are escaped."""
    _print(told(text), err)


def told(text: str) -> str:
    """Return text of several lines as `tell` prints it."""
    return printable(masked(text), keep="\n\t")


def answer(text: str) -> None:
    """Print data on stdout: unchanged if stdout is piped, escaped as by `tell` on a terminal."""
    if sys.stdout.isatty():
        tell(text)
        return
    try:
        _print(text, False)
    except UnicodeEncodeError:  # a file name that is not UTF-8
        _print(printable(text, keep="\r\n\t"), False)


def _print(text: str, err: bool) -> None:
    print(text, end="", file=sys.stderr if err else sys.stdout, flush=err)

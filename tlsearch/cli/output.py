"""All printing to the terminal: control characters are escaped and secrets masked."""

import sys

from tlsearch.base.shown_text import escape_controls, mask_urls


def print_line(line: str = "", *, err: bool = False) -> None:
    """Print one line; control characters and line breaks in it are escaped."""
    _print(escape_controls(mask_urls(line), keep="\t") + "\n", err)


def print_text(text: str, *, err: bool = False) -> None:
    """Print text of several lines; control characters other than tabs and newlines are escaped."""
    _print(printable_text(text), err)


def printable_text(text: str) -> str:
    """Return text of several lines as `print_text` prints it."""
    return escape_controls(mask_urls(text), keep="\n\t")


def print_answer(text: str) -> None:
    """Print data on stdout: unchanged if piped, escaped as by `print_text` on a terminal."""
    if sys.stdout.isatty():
        print_text(text)
        return
    try:
        _print(text, False)
    except UnicodeEncodeError:  # a file name that is not UTF-8
        _print(escape_controls(text, keep="\r\n\t"), False)


def _print(text: str, err: bool) -> None:
    print(text, end="", file=sys.stderr if err else sys.stdout, flush=err)

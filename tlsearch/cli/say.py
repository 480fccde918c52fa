"""The single place where text goes to the terminal: no name can command it, no secret shows."""

import sys

from tlsearch.base.shown_text import masked, printable


def say(line: str = "", *, err: bool = False) -> None:
    """Print one line; control characters and line breaks in it are written out."""
    _print(printable(masked(line), keep="\t") + "\n", err)


def tell(text: str, *, err: bool = False) -> None:
    """Print a text of lines as it is, but for what a terminal would obey."""
    _print(told(text), err)


def told(text: str) -> str:
    """A text of lines as `tell` prints it."""
    return printable(masked(text), keep="\n\t")


def answer(text: str) -> None:
    """Print data on stdout: unchanged for a program, as `tell` does on a terminal."""
    if sys.stdout.isatty():
        tell(text)
        return
    try:
        _print(text, False)
    except UnicodeEncodeError:  # a file's name that is not UTF-8
        _print(printable(text, keep="\r\n\t"), False)


def _print(text: str, err: bool) -> None:
    print(text, end="", file=sys.stderr if err else sys.stdout, flush=err)

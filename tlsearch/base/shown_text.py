"""Text for people: without a secret, without what a terminal would obey, and of bounded length."""

import re
import unicodedata

LINE_CHARACTERS = 600

# Joiners that words of Persian and Hindi, and emoji, are written with.
_JOINERS = "\u200c\u200d"
# C0, C1, format characters such as bidirectional overrides, surrogates, line separators.
_OBEYED = ("Cc", "Cf", "Cs", "Zl", "Zp")

# A user's part of a URL, up to the last @: a secret may hold slashes. A path loses one slash.
_USER = re.compile(r"\b([A-Za-z][A-Za-z0-9+.-]*:/{1,2})([^\s/@'\"]*:[^\s'\"]*|[^\s/@'\"]+)@")
_QUERY = re.compile(r"\b([A-Za-z][A-Za-z0-9+.-]*:/{1,2}[^\s'\"?]*)\?[^\s'\"]*[^\s'\"?:,;.)]")


def printable(text: str, keep: str = "") -> str:
    r"""The text with control characters written out, ESC as \x1b; those in `keep` stay."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(one if one in keep or not _is_obeyed(one) else _written(one) for one in text)


def storable(name: object) -> str:
    r"""A name as text that any file takes: a byte that is not UTF-8 as `\udcff`."""
    return str(name).encode("utf-8", "backslashreplace").decode("utf-8")


def masked(text: str) -> str:
    """The text with *** for user names, passwords and queries of the URLs in it."""
    return _QUERY.sub(r"\1?***", _USER.sub(r"\1***@", text))


def shortened(text: str, most: int = LINE_CHARACTERS) -> str:
    """The text, or its beginning and its end where it is longer than `most` characters."""
    if len(text) <= most:
        return text
    first = most * 2 // 3
    last = most - first
    return f"{text[:first]} ... ({len(text) - most} characters) ... {text[-last:]}"


def _is_obeyed(one: str) -> bool:
    return unicodedata.category(one) in _OBEYED and one not in _JOINERS


def _written(one: str) -> str:
    if "\udc80" <= one <= "\udcff":  # a byte of a file name that is not UTF-8
        return f"\\x{ord(one) - 0xDC00:02x}"
    return one.encode("unicode_escape", "surrogatepass").decode("ascii")

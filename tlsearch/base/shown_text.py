"""Text that is safe to show: no secrets, no terminal control characters, bounded length."""

import re
import unicodedata

LINE_CHARACTERS = 600

# The zero-width non-joiner and joiner, which Persian and Hindi words and emoji need.
_JOINERS = "\u200c\u200d"
# Control characters (C0, C1), format characters such as bidirectional overrides, surrogates, and
# line and paragraph separators.
_OBEYED = ("Cc", "Cf", "Cs", "Zl", "Zp")

# The user part of a URL, up to the last @, since a secret may contain slashes. One slash after the
# scheme is enough, since `Path` turns two into one.
_USER = re.compile(r"\b([A-Za-z][A-Za-z0-9+.-]*:/{1,2})([^\s/@'\"]*:[^\s'\"]*|[^\s/@'\"]+)@")
_QUERY = re.compile(r"\b([A-Za-z][A-Za-z0-9+.-]*:/{1,2}[^\s'\"?]*)\?[^\s'\"]*[^\s'\"?:,;.)]")


def escape_controls(text: str, keep: str = "") -> str:
    r"""Return the text with control characters escaped, ESC as \x1b, except those in `keep`."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(one if one in keep or not _is_obeyed(one) else _escape(one) for one in text)


def to_storable(name: object) -> str:
    r"""Return a name as text that encodes as UTF-8: a byte that is not UTF-8 becomes `\udcff`."""
    return str(name).encode("utf-8", "backslashreplace").decode("utf-8")


def mask_urls(text: str) -> str:
    """Return the text with *** in place of user names, passwords and queries in its URLs."""
    return _QUERY.sub(r"\1?***", _USER.sub(r"\1***@", text))


def shorten(text: str, most: int = LINE_CHARACTERS) -> str:
    """Return the text, or its start and end if it is longer than `most` characters."""
    if len(text) <= most:
        return text
    first = most * 2 // 3
    last = most - first
    return f"{text[:first]} ... ({len(text) - most} characters) ... {text[-last:]}"


def _is_obeyed(one: str) -> bool:
    return unicodedata.category(one) in _OBEYED and one not in _JOINERS


def _escape(one: str) -> str:
    if "\udc80" <= one <= "\udcff":  # a byte of a file name that is not UTF-8
        return f"\\x{ord(one) - 0xDC00:02x}"
    return one.encode("unicode_escape", "surrogatepass").decode("ascii")

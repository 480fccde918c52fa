"""The spelling of values and names, and the nearest known name for an unknown one."""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import TypeVar

Value = TypeVar("Value")


def did_you_mean(found: str, known: Iterable[str]) -> str:
    """The tail of a message: the nearest known name, else all of them."""
    names = list(known)
    near = difflib.get_close_matches(found, names, n=1)
    return f"did you mean '{near[0]}'?" if near else "known: " + ", ".join(names)


@dataclass(frozen=True, eq=False)  # older pydantic hashes it, and a table cannot be hashed
class one_of:  # noqa: N801 - reads as a function where it is used
    """A pydantic validator: the value is one of `known`."""

    known: Iterable[str]
    noun: str

    def __call__(self, raw: Value) -> Value:
        """The value itself; raises ValueError if it is an unknown name."""
        if isinstance(raw, str) and raw not in self.known:
            raise ValueError(self.why(raw))
        return raw

    def why(self, found: str) -> str:
        """The reason why `found` is refused, with the nearest known name."""
        return f"unknown {self.noun} '{found}', {did_you_mean(found, self.known)}"


def with_spaces(name: str) -> str:
    """The name of a metric or a setting as words."""
    return name.replace("_", " ")


def file_name(location: Value) -> Value | str:
    """The last part of an absolute path, for texts that leave this machine; other values as is."""
    if isinstance(location, str) and PurePath(location).is_absolute():
        return PurePath(location).name
    return location


# Dimensions of a space whose values may be the paths of files.
MAYBE_FILES = ("backbone", "weights")


def without_folders(configuration: Mapping[str, object]) -> dict[str, object]:
    """A trial's configuration with only the file names of paths."""
    named = {key: file_name(configuration[key]) for key in MAYBE_FILES if key in configuration}
    return {**configuration, **named}


def spell_widths(value: Value) -> Value | str:
    """Dense widths as records and tables hold them, 256-128 or none; other values unchanged."""
    if isinstance(value, list | tuple):
        return "-".join(str(width) for width in value) or "none"
    return value

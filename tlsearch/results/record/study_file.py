"""Reads and checks study.yaml; errors name the damaged line."""

import re
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, NonNegativeInt, TypeAdapter, ValidationError

from tlsearch.base.errors import ConfigError, RecordError
from tlsearch.base.links import refuse_link
from tlsearch.base.yaml_text import NotYamlError, compose, plain_values, read_text

_RESTORE = "restore it from a backup"

Keys = tuple[str | int, ...]


class _Known(BaseModel):
    """The keys of a mapping that are checked; keys that another version added are ignored."""

    model_config = ConfigDict(strict=True, extra="ignore")


class _Search(_Known):
    name: str
    metric: str
    trials: int = 0


class _Unreadable(_Known):
    pictures: NonNegativeInt
    first: list[str]


class _Data(_Known):
    fingerprint: str = ""
    images: dict[str, NonNegativeInt] = {}
    unreadable: _Unreadable | None = None


class _Weights(_Known):
    files: dict[str, str] = {}
    networks: dict[str, str] = {}


class _Extension(_Known):
    after_trials: NonNegativeInt
    changes: dict[str, Any] = {}
    versions: dict[str, str] = {}


class _About(_Known):
    config: _Search
    data: _Data = _Data()
    weights: _Weights = _Weights()
    extended: list[_Extension] = []
    versions: dict[str, str] = {}
    machine: str | None = None
    device: dict[str, Any] | None = None


def read_study_file(path: Path) -> dict[str, object]:
    """Return the content of study.yaml.

    Raises RecordError if it is damaged, with the line number if it is known.
    """
    try:
        refuse_link(path)
        about = plain_values(read_text(path))
    except ValueError as error:
        line, why = (
            (f":{error.line}", error.why) if isinstance(error, NotYamlError) else ("", error)
        )
        raise RecordError(f"{path}{line}: damaged ({why}); {_RESTORE}") from error
    if not (isinstance(about, dict) and _is_config(about.get("config"))):
        raise RecordError(f"{path}: damaged (no config in it); {_RESTORE}")
    try:
        TypeAdapter(_About).validate_python(about)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        at, key = _line_of(path, first["loc"]), ".".join(map(str, first["loc"]))
        raise RecordError(f"{path}:{at}: damaged ({key}: {first['msg']}); {_RESTORE}") from error
    return about


def damaged_config(path: Path, error: ConfigError) -> RecordError:
    """Return a RecordError that lists a recorded configuration's problems with their lines."""
    problems = [
        re.sub(rf"^{re.escape(str(path))}:\d+: ", "", problem) for problem in error.problems
    ]
    found = [f"{path}:{_line_of(path, ('config', *_keys(one)))}: {one}" for one in problems]
    last = f"damaged, or written by another version; {_RESTORE}"
    return RecordError("\n".join([*found, f"{path}: {last}"]))


def _is_config(found: object) -> bool:
    return isinstance(found, dict) and {"name", "metric"} <= found.keys()


def _keys(problem: str) -> Keys:
    """Return the keys that a problem begins with, as in `space.dropout[1]: ...`."""
    dotted = problem.partition(":")[0]
    return tuple(int(i) if i else name for name, i in re.findall(r"([^.\[\]]+)|\[(\d+)\]", dotted))


def _line_of(path: Path, keys: Keys) -> int:
    """Return the line of a value, or of the innermost key around it that exists."""
    _, node = compose(read_text(path))
    line = 1
    for key in keys:
        entries = {}
        if isinstance(node, yaml.MappingNode):
            entries = {name.value: (name, value) for name, value in node.value}
        elif isinstance(node, yaml.SequenceNode):
            entries = {str(index): (value, value) for index, value in enumerate(node.value)}
        if str(key) not in entries:
            break
        name, node = entries[str(key)]
        line = name.start_mark.line + 1
    return line

"""A file of Ray's cluster launcher, checked offline: Ray's own schema, then what bites."""

import copy
import json
import logging
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from tlsearch.base import yaml_text
from tlsearch.base.errors import ConfigError
from tlsearch.base.yaml_text import NotYamlError, read_text
from tlsearch.config.load import Document, Key
from tlsearch.config.schema import Resources
from tlsearch.config.spelling import did_you_mean
from tlsearch.search.cluster.launcher_rules import Mistake, mistakes, summary

PLACEHOLDER = "REPLACE"


def checked(file: Path, trial: Resources) -> list[str]:
    """What a sound launcher file says, in lines, with what is still to be filled in.

    Raises ConfigError with all mistakes, a line each: where, found, expected, what to do.
    """
    document = Document(str(file))
    plain = _read(file, document)
    refused, filled = by_ray(plain)
    found = refused + ([] if filled is None else mistakes(filled, metadata.version("ray"), trial))
    told = [*document.problems, *(_line(document, one) for one in found)]
    if told:
        raise ConfigError(sorted(dict.fromkeys(told), key=_line_number))
    assert filled is not None, "what Ray refuses was told"
    return [*summary(filled), *_unfilled(document, plain)]


def by_ray(plain: dict[str, Any]) -> tuple[list[Mistake], dict[str, Any] | None]:
    """What Ray's schema refuses, and the configuration with what Ray fills in.

    The latter is None where its values are not of the shapes that Ray wants.
    """
    schema_errors = list(_schema_errors(plain))
    found = [mistake for one in schema_errors for mistake in _told(one)]
    if any(one.validator != "additionalProperties" for one in schema_errors):
        return found, None
    from ray.autoscaler._private.util import prepare_config, validate_config

    logging.getLogger("ray.autoscaler").setLevel(logging.WARNING)  # it tells what it fills in
    try:
        prepared = prepare_config(_without(plain, [one.at for one in found]))
        validate_config(prepared)
    except Exception as error:  # assertions, ValueError, KeyError, click's own: as Ray likes
        why = str(error) or type(error).__name__
        return [*found, Mistake((), why, "what `ray up` takes", "see Ray's message")], None
    return found, {**prepared, **plain}  # its merged commands would be told twice


def _without(plain: dict[str, Any], keys: Iterable[Key]) -> dict[str, object]:
    """A configuration without some of its keys, told already, over which Ray would stop."""
    left = copy.deepcopy(plain)
    for *above, last in keys:
        part: Any = left
        for key in above:
            part = part[key]
        del part[last]
    return left


def _read(file: Path, document: Document) -> dict[str, object]:
    """The file as plain values; ConfigError where it is no YAML of keys and values."""
    try:
        text = read_text(file)
    except (OSError, ValueError) as error:
        raise ConfigError([f"{file}: cannot be read ({error})"]) from error
    document.read(text)
    if document.problems:  # values that do not fit their tags, which Ray's reader fails on
        raise ConfigError(document.problems)
    try:
        plain = yaml_text.plain(text)  # as Ray reads it
    except NotYamlError as error:
        raise ConfigError([f"{file}:{error.line}: not YAML: {error.why}"]) from error
    if not isinstance(plain, dict):
        raise ConfigError([f"{file}:1: expected keys and values, found {type(plain).__name__}"])
    odd = [
        f"{document.locate(at)}: {'.'.join(map(str, at))}: found {at[-1]!r}, expected text as a key"
        for at in _odd_keys(plain)
    ]
    if odd:
        raise ConfigError(odd)
    return plain


def _odd_keys(plain: Any, at: Key = ()) -> Iterator[Key]:
    """Keys that are not text, such as a number or a date."""
    if isinstance(plain, dict):
        yield from ((*at, key) for key in plain if not isinstance(key, str))
        for key, value in plain.items():
            yield from _odd_keys(value, (*at, key))
    elif isinstance(plain, list):
        for place, value in enumerate(plain):
            yield from _odd_keys(value, (*at, place))


def _schema_errors(plain: dict[str, Any]) -> Iterator[Any]:
    import jsonschema
    import ray.autoscaler

    schema = Path(ray.autoscaler.__file__).parent / "ray-schema.json"
    yield from jsonschema.Draft7Validator(json.loads(schema.read_text())).iter_errors(plain)


def _told(error: Any) -> Iterator[Mistake]:
    """A schema's error in our words; an unknown key each."""
    at = tuple(error.absolute_path)
    if error.validator == "additionalProperties":
        known = error.schema.get("properties", {})
        for key in error.instance:
            if key not in known:
                hint = did_you_mean(key, known)
                yield Mistake((*at, key), "an unknown key", "one of Ray's", hint)
    else:
        yield Mistake(at, error.message, f"what Ray's schema asks: {error.validator}", "")


def _line(document: Document, one: Mistake) -> str:
    key = ".".join(map(str, one.at))
    remedy = f": {one.remedy}" if one.remedy else ""
    said = f"found {one.found}, expected {one.expected}{remedy}"
    return f"{document.locate(one.at)}: {key}: {said}" if key else f"{document.source}: {said}"


def _unfilled(document: Document, plain: Any, at: Key = ()) -> Iterator[str]:
    """A line for each text that its writer left for its reader to fill in."""
    if isinstance(plain, dict):
        for key, value in plain.items():
            yield from _unfilled(document, value, (*at, key))
    elif isinstance(plain, list):
        for place, value in enumerate(plain):
            yield from _unfilled(document, value, (*at, place))
    elif isinstance(plain, str) and PLACEHOLDER in plain:
        yield f"still to fill in: {document.locate(at)}: {plain}"


def _line_number(problem: str) -> tuple[int, str]:
    parts = problem.split(":", 2)
    return (int(parts[1]) if len(parts) > 1 and parts[1].isdigit() else 0, problem)

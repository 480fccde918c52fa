"""The offline check of a Ray cluster launcher file: Ray's schema, then our own rules."""

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


def check_launcher(file: Path, trial: Resources) -> list[str]:
    """Return a correct launcher file's summary, then its placeholders still to fill in, as lines.

    Raises ConfigError with all mistakes, one per line: where, found, expected, what to do.
    """
    document = Document(str(file))
    plain = _read(file, document)
    refused, filled = ray_mistakes(plain)
    found = refused + ([] if filled is None else mistakes(filled, metadata.version("ray"), trial))
    problems = [*document.problems, *(_line(document, one) for one in found)]
    if problems:
        raise ConfigError(sorted(dict.fromkeys(problems), key=_line_number))
    assert filled is not None, "everything that Ray refuses has been reported"
    return [*summary(filled), *_unfilled_fields(document, plain)]


def ray_mistakes(plain: dict[str, Any]) -> tuple[list[Mistake], dict[str, Any] | None]:
    """Return the mistakes that Ray finds, and the configuration with Ray's defaults filled in.

    The configuration is None if Ray refuses more than unknown keys.
    """
    schema_errors = list(_schema_errors(plain))
    found = [mistake for one in schema_errors for mistake in _schema_mistakes(one)]
    if any(one.validator != "additionalProperties" for one in schema_errors):
        return found, None
    from ray.autoscaler._private.util import prepare_config, validate_config

    logging.getLogger("ray.autoscaler").setLevel(logging.WARNING)  # it logs its defaults
    try:
        prepared = prepare_config(_without(plain, [one.at for one in found]))
        validate_config(prepared)
    except Exception as error:  # Ray raises AssertionError, ValueError, KeyError and click's errors
        why = str(error) or type(error).__name__
        return [*found, Mistake((), f"`ray up` refuses this file: {why}")], None
    return found, {**prepared, **plain}  # Ray's merged commands would be reported twice


def _without(plain: dict[str, Any], keys: Iterable[Key]) -> dict[str, object]:
    """Return a configuration without some keys, already reported, at which Ray would stop."""
    left = copy.deepcopy(plain)
    for *above, last in keys:
        part: Any = left
        for key in above:
            part = part[key]
        del part[last]
    return left


def _read(file: Path, document: Document) -> dict[str, object]:
    """Read the file as plain values; raises ConfigError if it is not a YAML mapping."""
    try:
        text = read_text(file)
    except (OSError, ValueError) as error:
        raise ConfigError([f"{file}: cannot be read ({error})"]) from error
    document.read(text)
    if document.problems:  # values that do not fit their tags; Ray's reader fails on them
        raise ConfigError(document.problems)
    try:
        plain = yaml_text.plain_values(text)  # as Ray reads it
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
    """Yield the paths of keys that are not text, such as a number or a date."""
    if isinstance(plain, dict):
        yield from ((*at, key) for key in plain if not isinstance(key, str))
        for key, value in plain.items():
            yield from _odd_keys(value, (*at, key))
    elif isinstance(plain, list):
        for index, value in enumerate(plain):
            yield from _odd_keys(value, (*at, index))


def _schema_errors(plain: dict[str, Any]) -> Iterator[Any]:
    import jsonschema
    import ray.autoscaler

    schema = Path(ray.autoscaler.__file__).parent / "ray-schema.json"
    yield from jsonschema.Draft7Validator(json.loads(schema.read_text())).iter_errors(plain)


def _schema_mistakes(error: Any) -> Iterator[Mistake]:
    """Yield a schema error as mistakes, one for each unknown key."""
    at = tuple(error.absolute_path)
    if error.validator == "additionalProperties":
        known = error.schema.get("properties", {})
        for key in error.instance:
            if key not in known:
                hint = did_you_mean(key, known)
                yield Mistake((*at, key), "an unknown key", "one of Ray's", hint)
    else:
        yield Mistake(at, f"refused by Ray's schema: {error.message}")


def _line(document: Document, one: Mistake) -> str:
    key = ".".join(map(str, one.at))
    place = f"{document.locate(one.at)}: {key}" if key else document.source
    return f"{place}: {one}"


def _unfilled_fields(document: Document, plain: Any, at: Key = ()) -> Iterator[str]:
    """Yield a line for each text that holds the placeholder REPLACE."""
    if isinstance(plain, dict):
        for key, value in plain.items():
            yield from _unfilled_fields(document, value, (*at, key))
    elif isinstance(plain, list):
        for index, value in enumerate(plain):
            yield from _unfilled_fields(document, value, (*at, index))
    elif isinstance(plain, str) and PLACEHOLDER in plain:
        yield f"still to fill in: {document.locate(at)}: {plain}"


def _line_number(problem: str) -> tuple[int, str]:
    parts = problem.split(":", 2)
    return (int(parts[1]) if len(parts) > 1 and parts[1].isdigit() else 0, problem)

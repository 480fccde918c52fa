"""Search space YAML -> SearchConfig; every mistake in the file is reported with its line."""

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from tlsearch.base.errors import ConfigError
from tlsearch.base.machine import PACKAGE
from tlsearch.base.yaml_text import NotYamlError, PlainLoader, compose, read_text
from tlsearch.config.dataset import Data, Splits
from tlsearch.config.dimension import RECORDED, Range
from tlsearch.config.scheduler import KINDS
from tlsearch.config.schema import Resources, SearchConfig
from tlsearch.config.space import Space
from tlsearch.config.spelling import did_you_mean

Key = tuple[str | int, ...]
MERGE = "tag:yaml.org,2002:merge"
MOST_EXPLAINED = 1000  # wrong values per file

# The keys of each mapping of the file, for did-you-mean.
_SECTIONS: dict[str, Iterable[str]] = {
    "": SearchConfig.model_fields,
    "data": Data.model_fields,
    "data.splits": Splits.model_fields,
    "space": Space.model_fields,
    "resources": Resources.model_fields,
}


class _Loader(PlainLoader):
    """A YAML loader that reads 1e-3 as a number."""


class _Dumper(yaml.SafeDumper):
    """A YAML dumper that quotes the text 1e-3, which `_Loader` would read as a number."""


for _reads_1e3 in (_Loader, _Dumper):
    _reads_1e3.add_implicit_resolver(
        "tag:yaml.org,2002:float",
        re.compile(r"^[-+]?\d+(\.\d*)?[eE][-+]?\d+$"),
        list("-+0123456789"),
    )

# Error type of pydantic -> the expected value, in plain words; other types keep pydantic's words.
_EXPECTED = {
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "dict_type": "keys and values",
    "float_parsing": "a number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "greater_than": "a number > {gt:g}",
    "greater_than_equal": "a number >= {ge:g}",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "less_than": "a number < {lt:g}",
    "less_than_equal": "a number <= {le:g}",
    "literal_error": "{expected}",
    "model_type": "keys and values",
    "path_type": "a path",
    "string_type": "text (in quotes)",
    "too_short": "at least one value",
    "tuple_type": "a list",
}


class Document:
    """A YAML document while it is read: the line of each value, and the problems found so far."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.where: dict[Key, str] = {}
        self.problems: list[str] = []
        self._odd: set[Key] = set()  # values that do not fit their tags, already reported

    def read(self, text: str) -> Any:
        """The document as plain values, None if empty; raises ConfigError if it is not YAML."""
        try:
            loader, node = compose(text, _Loader)
            return None if node is None else self._plain(loader, node, ())
        except NotYamlError as error:
            line, why = error.line, error.why
        except yaml.MarkedYAMLError as error:  # a tag without a constructor
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            why = str(error.problem)
        raise ConfigError([f"{self.source}:{line}: not YAML: {why}"])

    def _plain(self, loader: _Loader, node: yaml.Node, at: Key) -> Any:
        self.where[at] = self._line(node)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(loader, node, at)
        if isinstance(node, yaml.SequenceNode):
            return [self._plain(loader, item, (*at, i)) for i, item in enumerate(node.value)]
        return self._scalar(loader, node, at)

    def _scalar(self, loader: _Loader, node: yaml.Node, at: Key) -> Any:
        try:
            return loader.construct_object(node)
        except ValueError as error:  # its text does not fit its tag, or is an invalid date
            self._odd.add(at)
            found = f"found {node.value or repr('')}: {error}"
            self.problems.append(f"{self._line(node)}: {_key_label(at)}{found}")
            return node.value

    def _mapping(self, loader: _Loader, node: yaml.MappingNode, at: Key) -> dict[str, object]:
        """The mapping's own keys, then the keys of `<<` that it lacks."""
        plain: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if key_node.tag == MERGE:
                continue
            key = self._key(loader, key_node, at)
            value = self._plain(loader, value_node, (*at, key))
            self.where[(*at, key)] = self._line(key_node)
            if key in plain:
                line = self._line(key_node)
                self.problems.append(f"{line}: {_key_label((*at, key))}written twice")
            plain[key] = value
        for key_node, value_node in node.value:
            if key_node.tag == MERGE:
                self._take_in(loader, value_node, plain, at)
        return plain

    def _take_in(self, loader: _Loader, node: yaml.Node, plain: dict[str, Any], at: Key) -> None:
        """Add the keys of a merged mapping, or of a list of mappings; earlier ones win."""
        merged = node.value if isinstance(node, yaml.SequenceNode) else [node]
        for one in merged:
            if not isinstance(one, yaml.MappingNode):
                self.problems.append(
                    f"{self._line(one)}: {_key_label((*at, '<<'))}expected a mapping, or a list of "
                    "mappings, such as *NAME where &NAME marks one"
                )
                continue
            outer, self.where = self.where, {}
            for key, value in self._mapping(loader, one, at).items():
                plain.setdefault(key, value)
            for place, line in self.where.items():
                outer.setdefault(place, line)
            self.where = outer

    def _key(self, loader: _Loader, node: yaml.Node, at: Key) -> str:
        if isinstance(node, yaml.ScalarNode):
            return str(self._scalar(loader, node, at))
        self.problems.append(f"{self._line(node)}: {_key_label(at)}expected text as a key")
        return "?"

    def _line(self, node: yaml.Node) -> str:
        return f"{self.source}:{node.start_mark.line + 1}"

    def override(self, plain: Any, setting: str) -> None:
        """Apply one `--set KEY=VALUE`; VALUE is read as YAML, KEY is dotted."""
        key, equals, value = setting.partition("=")
        if not (key and equals):
            self.problems.append(f"--set {setting}: expected KEY=VALUE, as in space.dropout=0.2")
            return
        path = tuple(key.strip().split("."))
        patch = Document(f"--set {key}")
        try:
            leaf = patch.read(value)
        except ConfigError as error:
            self.problems += error.problems
            return
        self.problems += patch.problems
        self._odd |= {(*path, *at) for at in patch._odd}
        for name in reversed(path):
            leaf = {name: leaf}
        self._merge(plain, leaf, path, f"--set {key}")

    def _merge(self, plain: Any, patch: Any, path: tuple[str, ...], origin: str) -> None:
        target, source = plain, patch
        for depth, name in enumerate(path[:-1], start=1):
            if not isinstance(target.get(name), dict):
                target[name] = {}
            target, source = target[name], source[name]
            self.where.setdefault(path[:depth], origin)
        target[path[-1]] = source[path[-1]]
        for old in [at for at in self.where if at[: len(path)] == path]:
            del self.where[old]
        self.where[path] = origin

    def is_reported(self, at: Key) -> bool:
        """Whether a problem with a value at this key, or around it, is already reported."""
        return any(at[:depth] in self._odd for depth in range(len(at) + 1))

    def locate(self, at: Key) -> str:
        """The line of a value, or of the nearest value that contains it."""
        while at not in self.where and at:
            at = at[:-1]
        return self.where.get(at, f"{self.source}:1")


def load(space: str | Path, settings: Sequence[str] = ()) -> SearchConfig:
    """Read a search space from a file, or by the name of one that ships with the package.

    Raises ConfigError with one line per problem: the place, the key, what was found and expected.
    """
    path = find_space(space)
    try:
        text = read_text(path)
    except (OSError, ValueError) as error:
        raise ConfigError([f"{space}: cannot be read ({error})"]) from error
    return parse(text, str(space), settings, name=path.stem)


def parse(
    text: str,
    source: str = "<text>",
    settings: Sequence[str] = (),
    name: str = "study",
    recorded: bool = False,
) -> SearchConfig:
    """Check a search space given as YAML text; `name` is the study's name if the text has none.

    `recorded` also accepts what only older versions accepted, so that their studies can be opened.
    """
    document = Document(source)
    plain = document.read(text)
    plain = {} if plain is None else plain
    if not isinstance(plain, dict):
        raise ConfigError([f"{source}:1: expected keys and values, found {type(plain).__name__}"])
    for setting in settings:
        document.override(plain, setting)
    try:
        config = SearchConfig.model_validate({"name": name, **plain}, context={RECORDED: recorded})
    except ValidationError as error:
        document.problems += _explain(error, document, plain)
    if document.problems:
        raise ConfigError(sorted(dict.fromkeys(document.problems), key=_line_order))
    return config


def from_mapping(
    values: Mapping[str, object],
    source: str = "<values>",
    recorded: bool = False,
    settings: Sequence[str] = (),
) -> SearchConfig:
    """Check a search space given as plain Python values; `recorded` as for `parse`.

    Raises ConfigError if they are not plain.
    """
    try:
        text = yaml.dump(dict(values), Dumper=_Dumper, sort_keys=False)
    except yaml.representer.RepresenterError as error:
        raise ConfigError(
            [f"{source}: found {error.args[-1]!r}, which is not a YAML value"]
        ) from error
    return parse(text, source, settings, recorded=recorded)


def dump(config: SearchConfig) -> str:
    """The search space as YAML text that `parse` reads back to an equal configuration."""
    plain = config.model_dump(mode="json", exclude_none=True)
    return yaml.dump(plain, Dumper=_Dumper, sort_keys=False)


def find_space(space: str | Path) -> Path:
    """The file of a search space: a path as given, else a shipped one by its name.

    Raises ConfigError if there is neither.
    """
    if Path(space).is_file():
        return Path(space)
    shipped = shipped_spaces()
    if str(space) in shipped:
        return shipped[str(space)]
    hint = did_you_mean(str(space), shipped)
    raise ConfigError(
        [f"{space}: no such file, and no shipped search space has that name ({hint})"]
    )


def shipped_spaces() -> dict[str, Path]:
    """Name -> file of the search spaces that ship with the package."""
    folders = (PACKAGE / "search_spaces", PACKAGE.parent / "search_spaces")
    files = [file for folder in folders if folder.is_dir() for file in folder.glob("*.yaml")]
    return {file.stem: file for file in sorted(files)}


def _explain(error: ValidationError, document: Document, plain: Any) -> list[str]:
    lines = []
    for detail in islice(error.errors(include_url=False), MOST_EXPLAINED):
        if detail["type"] == "too_short" and detail["input"]:
            continue  # the errors of its values are already reported
        at = _as_written(detail, plain)
        if not document.is_reported(at):
            lines.append(f"{document.locate(at)}: {_key_label(at)}{_reason(detail, at)}")
    return lines


def _as_written(detail: Any, plain: Any) -> Key:
    """The keys that lead to a mistake, without the steps that pydantic adds."""
    steps: Key = detail["loc"]
    if steps[:1] == ("space",) and len(steps) > 3 and steps[2] in ("choices", "range"):
        steps = (*steps[:2], *steps[3:])
    at: Key = ()
    for step in steps:
        if step in (plain if isinstance(plain, dict) else range(_length(plain))):
            plain, at = plain[step], (*at, step)
    return (*at, steps[-1]) if detail["type"] == "missing" else at


def _length(plain: Any) -> int:
    return len(plain) if isinstance(plain, list) else 0


def _reason(detail: Any, at: Key) -> str:
    if detail["type"] == "extra_forbidden":
        return f"unknown key, {did_you_mean(str(at[-1]), _valid_keys(detail, at))}"
    if detail["type"] == "missing":
        return "missing, expected a value"
    message = str(detail["msg"]).removeprefix("Value error, ").removeprefix("Input should be ")
    if detail["type"] == "value_error":
        return message
    if detail["type"] in _EXPECTED:
        message = _EXPECTED[detail["type"]].format(**detail.get("ctx", {}))
    return f"found {detail['input']!r}, expected {message}"


def _valid_keys(detail: Any, at: Key) -> Iterable[str]:
    """The valid keys of the mapping that has an unknown one."""
    if at[0] == "scheduler":
        return KINDS[detail["loc"][1]].model_fields
    return _SECTIONS.get(_dotted_key(at[:-1]), Range.model_fields)


def _key_label(at: Key) -> str:
    return f"{_dotted_key(at)}: " if at else ""


def _dotted_key(at: Key) -> str:
    text = ""
    for part in at:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _line_order(problem: str) -> tuple[int, str]:
    found = re.match(r".*?:(\d+): ", problem)
    return (int(found[1]) if found else 0, problem)

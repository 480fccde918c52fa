"""Untrusted YAML, parsed within limits by libyaml if available, else by PyYAML's own parser.

A short text can expand to gigabytes (aliases of aliases), and a deep one overflows Python's stack.
"""

from pathlib import Path
from typing import Any

import yaml

TEXT_BYTES = 8 * 2**20  # a thousand times the longest shipped search space
VALUES = 200_000  # after aliases are expanded
DEPTH = 50
NUMBER_CHARACTERS = 100
WHOLE_BITS = 63
SCALARS = ("bool", "int", "float", "timestamp", "binary")

Parser: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # PyYAML may be built without libyaml


class NotYamlError(ValueError):
    """A text that is not YAML or exceeds the limits; `line` and `why` say where and why."""

    def __init__(self, line: int, why: str) -> None:
        super().__init__(f"line {line}: {why}")
        self.line, self.why = line, why


class PlainLoader(Parser):  # type: ignore[misc]
    """A safe YAML 1.1 loader that raises ValueError for every scalar that does not fit its tag."""


def _fitting(construct: Any, word: str) -> Any:
    """Wrap a scalar's constructor so that it raises only ValueError and builds no huge numbers."""

    def checked(loader: Any, node: yaml.Node) -> Any:
        if word in ("int", "float") and len(node.value) > NUMBER_CHARACTERS:
            raise ValueError(f"a number of more than {NUMBER_CHARACTERS} characters")
        try:
            value = construct(loader, node)
        except (ArithmeticError, AttributeError, LookupError, TypeError, yaml.YAMLError):
            raise ValueError(f"not a value of type {word}") from None
        if isinstance(value, int) and value.bit_length() > WHOLE_BITS:
            raise ValueError(f"expected a whole number below 2^{WHOLE_BITS}")
        return value

    return checked


for _word in SCALARS:
    _tag = f"tag:yaml.org,2002:{_word}"
    PlainLoader.add_constructor(_tag, _fitting(Parser.yaml_constructors[_tag], _word))


def read_text(path: Path) -> str:
    """Return the content of a UTF-8 text file.

    Raises OSError if it cannot be read, ValueError if it is not a regular file, not UTF-8, or
    larger than `TEXT_BYTES`.
    """
    if path.exists() and not path.is_file():
        raise ValueError("not a file")
    with path.open("rb") as file:
        data = file.read(TEXT_BYTES + 1)
    if len(data) > TEXT_BYTES:
        raise ValueError(f"expected at most {TEXT_BYTES / 2**20:g} MB of YAML")
    return data.decode("utf-8")


def compose(text: str, kind: Any = PlainLoader) -> tuple[Any, yaml.Node | None]:
    """Return the loader and the node tree of a one-document text; the tree is None if it is empty.

    Raises NotYamlError.
    """
    strange = yaml.reader.Reader.NON_PRINTABLE.search(text)
    if strange:
        line = text.count("\n", 0, strange.start()) + 1
        found = f"U+{ord(strange[0]):04X}"
        raise NotYamlError(line, f"found the character {found}, expected printable characters only")
    try:
        _require_bounded(kind(text))
        loader = kind(text)
        return loader, loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        raise _at_its_line(error, text) from None
    except (yaml.YAMLError, ValueError) as error:
        if isinstance(error, NotYamlError):
            raise
        raise NotYamlError(1, str(error)) from None  # such as an escape beyond Unicode


def plain_values(text: str) -> Any:
    """Return a one-document text as plain values, None if it is empty; raises NotYamlError."""
    loader, node = compose(text)
    try:
        return None if node is None else loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        raise _at_its_line(error, text) from None
    except (ValueError, TypeError) as error:
        raise NotYamlError(1, str(error)) from None


def _at_its_line(error: yaml.MarkedYAMLError, text: str) -> NotYamlError:
    """Convert a parser error; libyaml marks an error at the end of a text after its last line."""
    line = error.problem_mark.line + 1 if error.problem_mark else 1
    return NotYamlError(min(line, text.count("\n") + 1), str(error.problem))


def _require_bounded(loader: Any) -> None:
    """Raise NotYamlError if a document is too deep, contains itself, or has too many values.

    Each open collection counts its values; an alias counts as all values of its anchor.
    """
    sizes: dict[str, int] = {}
    open_: list[tuple[str | None, int]] = [(None, 0)]
    while loader.check_event():
        event = loader.get_event()
        line = event.start_mark.line + 1
        if isinstance(event, yaml.CollectionStartEvent):
            sizes.pop(event.anchor or "", None)  # an alias to an open collection is a cycle
            open_.append((event.anchor, 1))
            if len(open_) > DEPTH:
                raise NotYamlError(line, "nested too deeply, or within itself")
            continue
        if isinstance(event, yaml.CollectionEndEvent):
            anchor, size = open_.pop()
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor in (name for name, _ in open_):
                raise NotYamlError(line, "nested too deeply, or within itself")
            anchor, size = None, sizes.get(event.anchor or "", 1)
        elif isinstance(event, yaml.ScalarEvent):
            anchor, size = event.anchor, 1
        else:
            continue
        if anchor:
            sizes[anchor] = size
        above, counted = open_[-1]
        open_[-1] = (above, counted + size)
        if counted + size > VALUES:
            raise NotYamlError(line, f"expected at most {VALUES} values, with those of aliases")

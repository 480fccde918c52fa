"""The part of a leaderboard that a reader requests: which columns, which trials, how many."""

import ast
import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tlsearch.base.errors import ConfigError
from tlsearch.config.spelling import did_you_mean
from tlsearch.results.rank.leaderboard import COLUMN_HELP, COLUMNS

Row = Mapping[str, Any]
Keep = Callable[[Row], bool]

LONGEST_FILTER = 1000  # characters
_GRAMMAR = "comparisons such as metric > 0.9, joined by and, or, not"
_LITERALS = {"true": True, "false": False, "none": None}
_COMPARE: dict[type, Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda value, choices: value in choices,
    ast.NotIn: lambda value, choices: value not in choices,
}


@dataclass(frozen=True)
class Selection:
    """A selection of columns and rows.

    Empty `columns` stand for the default columns of the format. `top` limits the number of rows
    that pass `keep`.
    """

    columns: tuple[str, ...] = ()
    keep: Keep | None = None
    top: int | None = None

    def of(self, table: Iterable[Row]) -> list[Row]:
        """Return the selected rows, with all their columns."""
        kept = [row for row in table if self.keep is None or self.keep(row)]
        return kept[: self.top]

    def selected(self, row: Row) -> dict[str, object]:
        """Return the selected columns of a row, all by default."""
        return {name: row[name] for name in self.columns or COLUMNS}


def parse_columns(text: str) -> tuple[str, ...]:
    """Parse `a,b,c`; raises ConfigError for unknown columns, with the most similar known one."""
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    unknown = [name for name in names if name not in COLUMN_HELP]
    if unknown or not names:
        raise ConfigError([_unknown_column("--columns", name) for name in unknown or [text]])
    return names


def parse_filter(text: str) -> Keep:
    """Parse a condition on a row, such as `backbone == 'strokes' and metric > 0.9`.

    Columns stand on the left, values on the right: numbers, quoted text, true, false, none, and
    lists after `in`. Nothing is evaluated as code. Values without an order (`all` and a number, or
    none) are neither less nor greater. Raises ConfigError for anything else.
    """
    if len(text) > LONGEST_FILTER:
        raise ConfigError([f"--filter: {len(text)} characters, expected {LONGEST_FILTER} at most"])
    try:
        tree = ast.parse(text.strip(), mode="eval").body
        return _condition(tree)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ConfigError([f"--filter: found {text!r}, expected {_GRAMMAR}"]) from None


def _condition(node: ast.expr) -> Keep:
    if isinstance(node, ast.BoolOp):
        parts = [_condition(value) for value in node.values]
        every = all if isinstance(node.op, ast.And) else any
        return lambda row: every(part(row) for part in parts)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        inner = _condition(node.operand)
        return lambda row: not inner(row)
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        return _comparison(node)
    raise _refuse(node)


def _comparison(node: ast.Compare) -> Keep:
    column, kind = _column(node.left), type(node.ops[0])
    if kind not in _COMPARE:
        raise _refuse(node)
    wanted = _value(node.comparators[0], listed=kind in (ast.In, ast.NotIn))
    compare = _COMPARE[kind]

    def holds(row: Row) -> bool:
        try:
            return bool(compare(row[column], wanted))
        except TypeError:  # for example, text and numbers have no order
            return False

    return holds


def _column(node: ast.expr) -> str:
    if not isinstance(node, ast.Name):
        raise _refuse(node)
    if node.id not in COLUMN_HELP:
        raise ConfigError([_unknown_column("--filter", node.id)])
    return node.id


def _value(node: ast.expr, listed: bool) -> Any:
    if listed:
        if not isinstance(node, ast.List | ast.Tuple):
            raise _refuse(node)
        return [_value(item, listed=False) for item in node.elts]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_number(node.operand)
    if isinstance(node, ast.Name):
        return _word(node.id)
    if isinstance(node, ast.Constant) and isinstance(node.value, bool | int | float | str | None):
        return node.value
    raise _refuse(node)


def _word(name: str) -> bool | None:
    if name not in _LITERALS:
        raise ConfigError(
            [f"--filter: found {name} on the right, expected a value; text needs quotes: '{name}'"]
        )
    return _LITERALS[name]


def _number(node: ast.expr) -> float:
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return node.value
    raise _refuse(node)


def _refuse(node: ast.expr) -> ConfigError:
    return ConfigError([f"--filter: found {ast.unparse(node)!r}, expected {_GRAMMAR}"])


def _unknown_column(option: str, name: str) -> str:
    return f"{option}: unknown column '{name}', {did_you_mean(name, COLUMN_HELP)}"

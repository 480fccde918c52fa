"""A leaderboard for people: short cells, and only the settings that differ between trials."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tlsearch.config.networks.unfreezing import DEPTHS, Depth
from tlsearch.config.trial_config import SHOWN
from tlsearch.results.rank.leaderboard import COLUMNS
from tlsearch.results.report.selection import Row, Selection

# Columns that are shown if the search varies them: title -> the settings that give the value.
_VARIED = {
    one.label: tuple(name for name, other in SHOWN.items() if other.label == one.label)
    for one in SHOWN.values()
    if one.label is not None
}
# Priorities of the columns that may be dropped, lowest first; `Shown` holds those of settings.
_PRIORITIES = {
    "bytes": 5,
    "latency ms": 10,
    "trained": 15,
    "share": 25,
    "seconds": 75,
    "95 %": 80,
    "state": 90,
    "tie": 100,
} | {one.label: one.priority for one in SHOWN.values() if one.label and one.priority is not None}
# The order in which columns are dropped if the terminal is too narrow for all of them.
LEAST_FIRST = tuple(sorted(_PRIORITIES, key=_PRIORITIES.__getitem__))
WINNER = "*"  # follows the winner's rank
_OPTIONAL = ("95 %", "tie", "trained", "share", "latency ms", "bytes")


@dataclass(frozen=True)
class Grid:
    """A table of text: its column names, and rows with one cell per column."""

    columns: list[str]
    body: list[list[str]]


def readable_rows(everything: Sequence[Row], metric: str, view: Selection | None = None) -> Grid:
    """Return the rows of a leaderboard as text, without settings that never vary and without empty
    optional columns.

    `epoch` reads best/last. `lr` is the learning rate of the trial's own phase (head or
    fine-tuning). `tie` marks trials that the validation split cannot tell from the leader.
    """
    view = view or Selection()
    table = view.of(everything)
    if view.columns:
        return Grid(
            list(view.columns), [[format_cell(row[c]) for c in view.columns] for row in table]
        )
    varied = [name for name in _VARIED if len({_setting(row, name) for row in everything}) > 1]
    whole = [_cells(row, metric, varied) for row in table]
    names = list(_cells(dict.fromkeys(COLUMNS), metric, varied))
    shown = [name for name in names if name not in _OPTIONAL or _any(whole, name)]
    return Grid(shown, [[row[name] for name in shown] for row in whole])


def _any(table: Sequence[Mapping[str, str]], name: str) -> bool:
    """Whether a column has content; `tie` needs two marks, since the leader always has one."""
    present = [row[name] for row in table if row[name] not in ("", "-")]
    return len(present) > 1 if name == "tie" else bool(present)


def _cells(row: Row, metric: str, varied: Sequence[str]) -> dict[str, str]:
    value, low = row["metric"], row["low"]
    return {
        "rank": format_cell(row["rank"]) + (WINNER if row["winner"] else ""),
        "trial": str(row["trial"]),
        "state": str(row["state"]),
        metric: "-" if value is None else f"{value:.4f}",
        "95 %": "-" if low is None else f"{low:.3f}-{row['high']:.3f}",
        "tie": _tie(row),
        "epoch": f"{format_cell(row['best_epoch'])}/{row['epochs']}",
        "seconds": f"{row['seconds'] or 0:.1f}",
        **{name: _short(_setting(row, name)) for name in varied},
        "trained": _short(row["trained_parameters"]),
        "share": _percent(row["trained_share"]),
        "latency ms": _short(row["latency_ms"]),
        "bytes": format_cell(row["bytes"]),
    }


def _tie(row: Row) -> str:
    """The mark of a tie: `=`, or `~` if only the confidence intervals show it, which treats the
    trials as if they were measured on different images; "" without a tie.
    """
    if not row["tied"]:
        return ""
    guessed = row["rank"] != 1 and row["p_value"] is None and row["low"] is not None
    return "~" if guessed else "="


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def _setting(row: Row, name: str) -> Any:
    return Depth.of(row).label if _VARIED[name] == DEPTHS else _first(row, _VARIED[name])


def _first(row: Row, keys: Sequence[str]) -> Any:
    return next((row[key] for key in keys if row[key] is not None), None)


def _short(value: Any) -> str:
    """Format a value with three digits, which are enough to tell two trials apart."""
    return f"{value:.3g}" if isinstance(value, float) else format_cell(value)


def format_cell(value: Any) -> str:
    """Format a value for a table: numbers with four digits, '-' for None."""
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)

"""Printing tables: at the terminal's width, or one line per row if piped."""

import sys
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from tlsearch.base.shown_text import escape_controls
from tlsearch.cli.output import print_line

if TYPE_CHECKING:
    from rich.table import Table

PIPED_WIDTH = 10_000


def print_table(
    columns: Sequence[str], body: Sequence[Sequence[str]], least_first: Sequence[str] = ()
) -> None:
    """Print a table on stdout; cells are plain text, never markup.

    If the terminal is too narrow, the columns in `least_first` are left out in that order, and a
    last line names them.
    """
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else PIPED_WIDTH)
    dropped = too_wide(columns, body, console.width, least_first)
    with console.capture() as captured:
        console.print(rich_table(columns, body, dropped))
    text = "\n".join(line.rstrip() for line in captured.get().splitlines())
    sys.stdout.write(text.strip("\n") + "\n")
    if dropped:
        print_line(f"too wide to show: {', '.join(dropped)}")


def rich_table(
    columns: Sequence[str], body: Sequence[Sequence[str]], dropped: Collection[str] = ()
) -> "Table":
    """Return a rich table without the dropped columns; columns of numbers are right-aligned."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    shown = [index for index, name in enumerate(columns) if name not in dropped]
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for index in shown:
        numeric = all(_is_number(row[index]) for row in body)
        table.add_column(
            Text(escape_controls(columns[index])),
            justify="right" if numeric else "left",
            overflow="fold",
        )
    for row in body:
        table.add_row(*(Text(escape_controls(row[index])) for index in shown))
    return table


def too_wide(
    columns: Sequence[str],
    body: Sequence[Sequence[str]],
    width: int,
    least_first: Sequence[str],
) -> list[str]:
    """Return the columns to leave out so that no cell wraps, as far as `least_first` allows."""
    from rich.cells import cell_len

    widths = {
        name: max(cell_len(escape_controls(text)) for text in (name, *(row[index] for row in body)))
        for index, name in enumerate(columns)
    }
    dropped: list[str] = []
    for name in (name for name in least_first if name in widths):
        if sum(widths.values()) + 2 * (len(widths) - 1) <= width:
            break
        dropped.append(name)
        del widths[name]
    return dropped


def _is_number(cell: str) -> bool:
    return cell in ("-", "") or (
        cell.replace("/", "").replace(".", "").replace("e-", "").rstrip("%*").isdigit()
    )

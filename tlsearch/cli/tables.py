"""Tables on a terminal, at its width; piped, each row stays one line."""

import sys
from collections.abc import Sequence

PIPED_WIDTH = 10_000


def print_table(columns: Sequence[str], body: Sequence[Sequence[str]]) -> None:
    """Print a table on stdout; cells are text as it is, never markup."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for place, name in enumerate(columns):
        numeric = all(_is_number(row[place]) for row in body)
        table.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in body:
        table.add_row(*(Text(cell) for cell in row))
    console = Console(width=None if sys.stdout.isatty() else PIPED_WIDTH)
    with console.capture() as captured:
        console.print(table)
    text = "\n".join(line.rstrip() for line in captured.get().splitlines())
    sys.stdout.write(text.strip("\n") + "\n")


def _is_number(cell: str) -> bool:
    return cell == "-" or cell.replace("/", "").replace(".", "").replace("e-", "").isdigit()

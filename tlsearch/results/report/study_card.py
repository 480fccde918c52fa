"""The HTML summary of a study in a notebook: its verdict and its best trials."""

from collections.abc import Sequence
from html import escape

from tlsearch.base.shown_text import escape_controls, mask_urls
from tlsearch.results.rank.leaderboard import Leaderboard
from tlsearch.results.report.readable_table import readable_rows
from tlsearch.results.report.selection import Selection
from tlsearch.results.report.verdict import verdict

SHOWN = 10  # trials


def study_html(place: str, board: Leaderboard, note: object = None) -> str:
    """Render the name, the verdict and the best trials of a study, with `note` below the name.

    All text is escaped. The HTML runs no script and loads nothing.
    """
    grid = readable_rows(board.rows, board.metric, Selection(top=SHOWN))
    verdict_items = "".join(f"<li>{_text(line)}</li>" for line in verdict(board).text())
    name = _text(board.about["config"]["name"])
    title = f"<p><strong>{name}</strong> <code>{_text(place)}</code></p>"
    title += "" if note is None else f"<p>{_text(note)}</p>"
    rest = len(board.rows) - len(grid.body)
    more = f"<p>and {rest} more trials: leaderboard() has them all</p>" if rest > 0 else ""
    body = "".join(_row("td", cells) for cells in grid.body)
    head = _row("th", grid.columns)
    return f"<div>{title}<ul>{verdict_items}</ul><table>{head}{body}</table>{more}</div>"


def _row(tag: str, cells: Sequence[str]) -> str:
    return "<tr>" + "".join(f"<{tag}>{_text(cell)}</{tag}>" for cell in cells) + "</tr>"


def _text(value: object) -> str:
    return escape(escape_controls(mask_urls(str(value))))

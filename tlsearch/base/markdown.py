"""Tables in Markdown whose cells may hold any text."""

from collections.abc import Iterable, Sequence


def markdown_table(columns: Sequence[str], body: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a Markdown table; no cell can break out of it."""
    head = [columns, ["---"] * len(columns)]
    return ["| " + " | ".join(map(escape, row)) + " |" for row in (*head, *body)]


def escape(text: str) -> str:
    """Text as Markdown shows it: on one line, no table cell ended, no tag begun."""
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")

"""Tables in Markdown whose cells may hold any text."""

from collections.abc import Iterable, Sequence


def markdown_table(columns: Sequence[str], body: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a Markdown table; every cell is escaped."""
    head = [columns, ["---"] * len(columns)]
    return ["| " + " | ".join(map(escape, row)) + " |" for row in (*head, *body)]


def escape(text: str) -> str:
    """Escape text for a Markdown table: one line, no cell separator, no HTML tag."""
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")

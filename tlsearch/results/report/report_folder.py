"""The report folder of a study: the leaderboard as CSV, JSON and Markdown, and the page."""

from tlsearch.base.files import write_text
from tlsearch.results.rank.leaderboard import Leaderboard
from tlsearch.results.record.directory import StudyDirectory
from tlsearch.results.record.file_names import PAGE
from tlsearch.results.report.html import render_html
from tlsearch.results.report.text import TextFormat, render

MADE_BY_SEARCH: tuple[TextFormat, ...] = ("csv", "json", "md")


def write_report(home: StudyDirectory, board: Leaderboard) -> None:
    """Write leaderboard.csv, .json, .md and index.html to the report folder, each atomically."""
    for form in MADE_BY_SEARCH:
        write_text(home.report / f"leaderboard.{form}", render(board, form))
    write_text(home.report / PAGE, render_html(board, home))

"""The report folder that a search leaves in its study: the leaderboard as text, and the page."""

from collections.abc import Mapping
from typing import Any

from tlsearch.base.files import write_text
from tlsearch.results.record.directory import StudyDirectory
from tlsearch.results.record.journal import StudyRecord
from tlsearch.results.report.html import render_html
from tlsearch.results.report.text import TextFormat, render

MADE_BY_SEARCH: tuple[TextFormat, ...] = ("csv", "json", "md")


def write_report(home: StudyDirectory, record: StudyRecord, about: Mapping[str, Any]) -> None:
    """Write leaderboard.csv, .json and .md and index.html into the report folder, each whole."""
    for form in MADE_BY_SEARCH:
        write_text(home.report / f"leaderboard.{form}", render(record, about, form, home.best))
    write_text(home.report / "index.html", render_html(record, about, home.root))

"""A study as a notebook shows it."""

import json
import re
import shutil
from pathlib import Path

import pytest

from tlsearch.base.errors import SearchInterruptedError
from tlsearch.results.record.journal import read_journal
from tlsearch.search.handle import Study

KNOWN = {"div", "p", "strong", "code", "ul", "li", "table", "tr", "th", "td"}
STUDIES = Path(__file__).parents[2] / "earlier_studies"


@pytest.fixture
def study(tmp_path: Path) -> Study:
    shutil.copytree(STUDIES / "finished", tmp_path / "study")
    return Study(tmp_path / "study")


def test_it_names_the_winner_and_the_first_trials(study: Study) -> None:
    html = study._repr_html_()
    record = read_journal(study.home.journal_file)
    assert f"trial {study.winner().number} wins" in html  # type: ignore[union-attr]
    assert html.count("<tr>") == 1 + min(10, len(record.trials))
    assert len(html) < 10_000
    study.ended_by = SearchInterruptedError("interrupted")
    assert "<p>interrupted</p>" in study._repr_html_()


def test_nothing_in_it_runs_whatever_a_study_is_called(study: Study) -> None:
    evil = "<script>alert(1)</script>"
    study.about["config"]["name"] = evil
    study.home.url = f"s3://bucket/{evil}\x1b"
    html = study._repr_html_()
    assert json.dumps(evil)[1:-1] not in html
    assert "&lt;script&gt;" in html
    assert {*re.findall(r"<(\w+)", html)} <= KNOWN
    assert "\x1b" not in html

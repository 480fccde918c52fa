"""`report` and `compare`: their formats, their columns, and studies that cannot be compared."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tlsearch.cli.read.study_tables import is_over
from tlsearch.results.rank.leaderboard import COLUMN_HELP
from tlsearch.results.record.directory import StudyDirectory

Result = tuple[int, str, str]


def test_reports_of_each_form_go_to_stdout_or_to_a_file(
    invoke: Callable[..., Result], study: Path, tmp_path: Path
) -> None:
    for form in ("csv", "json", "md"):
        code, text, _ = invoke("report", study, "--format", form)
        assert invoke("report", study, "--format", form, "--out", tmp_path / form) == (0, "", "")
        assert (code, text) == (0, (tmp_path / form).read_text())
    assert json.loads((tmp_path / "json").read_text())["trials"][0]["metric"] == 0.75


def test_columns_help_lists_every_column_with_its_meaning(invoke: Callable[..., Result]) -> None:
    code, out, _ = invoke("report", "nowhere", "--columns", "help")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()[2:]] == list(COLUMN_HELP)


def test_a_report_shows_the_columns_and_trials_asked_for(
    invoke: Callable[..., Result], study: Path
) -> None:
    _, out, _ = invoke("report", study, "--columns", "trial,metric", "--filter", "metric > 0.7")
    assert [line.split() for line in out.splitlines()[::2]] == [["trial", "metric"], ["0", "0.75"]]
    _, out, _ = invoke("report", study, "--format", "csv", "--filter", "metric > 0.8")
    assert out == ",".join(COLUMN_HELP) + "\n"


def test_an_html_report_is_a_page(
    invoke: Callable[..., Result], study: Path, tmp_path: Path
) -> None:
    assert invoke("report", study, "--format", "html", "--out", tmp_path / "x.html") == (0, "", "")
    assert (tmp_path / "x.html").read_text().lower().startswith("<!doctype html>")


def test_studies_are_compared_a_line_each(invoke: Callable[..., Result], study: Path) -> None:
    code, out, err = invoke("compare", study, study)
    assert (code, err) == (0, "")
    assert out.splitlines()[0].split()[:5] == ["study", "metric", "trials", "best", "95"]
    assert [line.split()[:4] for line in out.splitlines()[2:]] == [
        ["pets", "accuracy", "1/-", "0.7500"]
    ] * 2
    _, out, _ = invoke("compare", study, "--format", "md")
    assert out.startswith("| study | metric |")


@pytest.mark.parametrize(("named", "shown"), [({}, "accuracy"), ({"metric": "auc"}, "auc")])
def test_a_compared_test_score_names_its_metric(
    invoke: Callable[..., Result], study: Path, named: dict[str, str], shown: str
) -> None:
    test = {"trial": 0, "value": 0.5, "images": 4, **named}
    StudyDirectory(study).journal.note({"test": test})
    _, out, _ = invoke("compare", study, "--format", "md")
    assert out.splitlines()[2].split(" | ")[5] == f"{shown} 0.5000"


def test_what_does_not_compare_is_said(
    invoke: Callable[..., Result], study: Path, tmp_path: Path
) -> None:
    other = StudyDirectory(tmp_path / "other")
    other.write_about({"name": "pets", "metric": "loss"}, data={"fingerprint": "f"})
    other.journal_file.write_bytes((study / "journal.log").read_bytes())
    assert invoke("compare", study, other.root)[2].splitlines() == [
        "not comparable: the studies rank by different metrics",
        "not comparable: the studies used different images or splits",
    ]


def test_watching_a_study_that_nobody_runs_prints_it_and_ends(
    invoke: Callable[..., Result], study: Path
) -> None:
    os.utime(study / "journal.log", (0, 0))
    assert invoke("report", study, "--watch") == invoke("report", study)


def test_a_study_is_over_when_it_is_still_and_its_lock_is_free(study: Path) -> None:
    home = StudyDirectory(study)
    assert not is_over(home)
    os.utime(home.journal_file, (0, 0))
    assert is_over(home)
    with home.locked():
        assert not is_over(home)

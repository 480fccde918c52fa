"""The page of a study runs nothing from its data, and reveals nothing of this machine."""

import functools
import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pages import ABOUT, Page, page_of, study, trial, write_artifacts
from PIL import Image

from tlsearch.config.catalog import Direction
from tlsearch.results.record.directory import StudyDirectory
from tlsearch.results.record.journal import StudyRecord, TrialRecord
from tlsearch.results.report.html import json_for_html
from tlsearch.results.report.page_files import Artifacts
from tlsearch.results.report.plots import parallel_coordinates, slice_plots
from tlsearch.results.report.timeline import timeline

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'"


def evil_study(text: str) -> StudyRecord:
    config = {"backbone": text, "weights": text, "head_lr": 0.1}
    trials = (
        TrialRecord(0, "finished", config, {0: 0.5}, reason=text, worker=text, seconds=1.0),
        TrialRecord(1, "failed", {"backbone": "photos"}, {}, reason=text),
        trial(2),
    )
    return StudyRecord(Direction.MAX, trials, {"baselines": {text: 0.5}})


def elements(text: str, folder: Path) -> list[str]:
    write_artifacts(folder, text)
    about = {**ABOUT, "versions": {text: text}}
    page = Page(page_of(evil_study(text), about, folder))
    return [tag for tag, _ in page.elements]


@functools.cache
def harmless(folder: Path) -> list[str]:
    """Return the elements of a page whose names are all harmless."""
    return elements("x", folder)


@given(st.text(st.sampled_from("<>&\"'/! -scriptb\u2028{}%"), min_size=1, max_size=30))
@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_no_name_adds_an_element_to_the_page(tmp_path: Path, text: str) -> None:
    assert elements(text, tmp_path) == harmless(tmp_path)


def test_an_evil_name_is_a_name(tmp_path: Path) -> None:
    write_artifacts(tmp_path, EVIL)
    page = Page(page_of(evil_study(EVIL), ABOUT, tmp_path))
    assert EVIL in page.text
    trials = json.loads(page.scripts["page"])["trials"]
    assert trials["0"]["config"]["backbone"] == EVIL
    assert not [a for _, a in page.elements if any(name.startswith("on") for name in a)]


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


def finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@settings(max_examples=40)
@given(values)
def test_json_in_the_page_reads_back_and_holds_nothing_that_html_reads(value: Any) -> None:
    text = json_for_html(value)
    assert json.loads(text) == finite(value)
    assert not set("<>&\u2028\u2029") & set(text)


@settings(max_examples=40, deadline=None)
@given(st.text(min_size=1))
def test_plots_hold_no_tag_that_plotly_would_read(text: str) -> None:
    record = evil_study(text)
    figures = [
        parallel_coordinates(record, text),
        timeline(record),
        *slice_plots(record, text).values(),
    ]
    assert "<" not in json.dumps(figures).replace("<br>", "").replace(
        "<extra></extra>", ""
    ).replace("<extra>%{y}</extra>", "")


def test_the_page_asks_for_nothing_from_outside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    write_artifacts(tmp_path, "cat")
    text = page_of(study(12), ABOUT, tmp_path)
    page = Page(text)
    addresses = [a[name] for _, a in page.elements for name in ("src", "href") if name in a]
    assert [a for a in addresses if not str(a).startswith(("#", "data:"))] == []
    policy = next(a["content"] for a in page.with_tag("meta") if "http-equiv" in a)
    assert re.match(r"default-src 'none'; img-src data:;", str(policy))
    assert "unsafe" not in str(policy).split("script-src")[1]
    assert "plotly.js" in text


@pytest.mark.parametrize(
    "away", ["../secret.png", "/etc/hostname", "a/../../secret.png", "link.png"]
)
def test_pictures_stay_under_artifacts(
    away: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_artifacts(tmp_path, "cat", picture=away)
    Image.new("RGB", (2, 2)).save(tmp_path / "secret.png")
    (tmp_path / "artifacts" / "link.png").symlink_to(tmp_path / "secret.png")
    page = Page(page_of(study(), ABOUT, tmp_path))
    assert page.with_tag("img") == []
    assert "picture not there" in page.text
    assert "refused: it is outside artifacts/" in caplog.text


def test_only_pictures_are_embedded(tmp_path: Path) -> None:
    write_artifacts(tmp_path, "cat")
    (tmp_path / "artifacts" / "page.svg").write_text("<svg/>")
    artifacts = Artifacts(StudyDirectory(tmp_path))
    assert artifacts.picture("page.svg") is None
    assert artifacts.picture("gone.png") is None
    assert str(artifacts.picture("samples/0.png")).startswith("data:image/png;base64,")


def test_no_folder_of_this_machine_stands_on_the_page(tmp_path: Path) -> None:
    folder = "/home/me/secret"
    config = {
        **ABOUT["config"],
        "cache": folder,
        "storage": f"{folder}/runs",
        "data": {"kind": "csv", "path": f"{folder}/pets.csv", "root": folder},
        "space": {"weights": ["default", f"{folder}/mine.weights.h5"]},
    }
    weights = ["default", f"{folder}/mine.weights.h5"]
    trials = tuple(
        replace(one, config={**one.config, "weights": weights[one.number % 2]})
        for one in study(12).trials
    )
    page = page_of(StudyRecord(Direction.MAX, trials), {**ABOUT, "config": config}, tmp_path)
    assert "/home/me" not in page
    assert "path: pets.csv" in page
    assert page.count("mine.weights.h5") > 1

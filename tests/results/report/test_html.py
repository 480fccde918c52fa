"""The page of a study: whole, offline, and deaf to what data would have it run."""

import functools
import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from tlsearch.config.catalog import Direction
from tlsearch.config.trial_config import TrialConfig
from tlsearch.results.rank.leaderboard import COLUMN_HELP, leaderboard
from tlsearch.results.record.directory import StudyDirectory
from tlsearch.results.record.journal import StudyRecord, TrialRecord
from tlsearch.results.report import glossary
from tlsearch.results.report.html import _json, render_html
from tlsearch.results.report.page_files import Artifacts
from tlsearch.results.report.plots import parallel_coordinates, slice_plots
from tlsearch.results.report.timeline import timeline

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'"
ABOUT: dict[str, Any] = {
    "config": {
        "name": "pets",
        "metric": "accuracy",
        "scheduler": {"kind": "asha", "first_rung": 1, "reduction": 3},
    },
    "versions": {"python": "3.11.7", "tlsearch": "0.1.0", "optuna": "5.0.0"},
}
SECTIONS = (
    "headline",
    "more",
    "leaderboard",
    "curves",
    "parameters",
    "cost",
    "winner",
    "data",
    "again",
)


class Page(HTMLParser):
    """A page as a browser would see it: its elements, and the text of each script."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.scripts: dict[str, str] = {}
        self._script: str | None = None
        self._count = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self._count += 1
            self._script = dict(attrs).get("id") or f"{tag} {self._count}"

    def handle_endtag(self, tag: str) -> None:
        self._script = None

    def handle_data(self, data: str) -> None:
        if self._script is None:
            self.text += data
        else:
            self.scripts[self._script] = self.scripts.get(self._script, "") + data

    def with_tag(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(autouse=True)
def _short_plotly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave plotly's 4.8 MB out of every page but the one that asks for them."""
    monkeypatch.setattr("tlsearch.results.report.html._plotly", lambda: "var Plotly;")


def trial(number: int, value: float = 0.5, **more: Any) -> TrialRecord:
    config = {"backbone": "photos", "unfrozen_layers": number % 3, "head_lr": 0.001 * (number + 1)}
    return TrialRecord(
        number, "finished", config, {0: value / 2, 1: value}, seconds=1.0 + number, **more
    )


def study(count: int = 3) -> StudyRecord:
    return StudyRecord(Direction.MAX, tuple(trial(n, 0.5 + n / (4 * count)) for n in range(count)))


def evil_study(text: str) -> StudyRecord:
    config = {"backbone": text, "weights": text, "head_lr": 0.1}
    trials = (
        TrialRecord(0, "finished", config, {0: 0.5}, reason=text, worker=text, seconds=1.0),
        TrialRecord(1, "failed", {"backbone": "photos"}, {}, reason=text),
        trial(2),
    )
    return StudyRecord(Direction.MAX, trials, {"baselines": {text: 0.5}})


def write_artifacts(study_folder: Path, text: str, picture: str = "samples/0.png") -> None:
    folder = study_folder / "artifacts"
    (folder / "samples").mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4)).save(folder / "samples" / "0.png")
    data = {"classes": [text], "images": {"train": {text: 7}}, "samples": {text: [picture]}}
    scored = {"label": text, "precision": 1, "recall": 1, "f1": 1, "images": 3}
    shown = {"picture": picture, "shown": text, "called": "dog", "probability": 0.9}
    scores = {"images": 3, "scores": {"accuracy": 1}, "classes": [scored], "confusion": [[3]]}
    winner = {"trial": 0, "evaluation": scores, "mistakes": [shown], "samples": [shown]}
    (folder / "data.json").write_text(json.dumps(data))
    (folder / "winner.json").write_text(json.dumps(winner))
    tested = {"trial": 0, "split": "test", "evaluation": scores}
    (folder / "test.json").write_text(json.dumps(tested))


def page_of(record: StudyRecord, about: dict[str, Any], folder: Path) -> str:
    return render_html(leaderboard(record, about, folder / "best"), StudyDirectory(folder))


def test_unreadable_pictures_are_listed_in_part(tmp_path: Path) -> None:
    write_artifacts(tmp_path, "cat")
    file = tmp_path / "artifacts" / "data.json"
    lost = [f"cat/{n:03d}.png: <broken>" for n in range(203)]
    more = {"unreadable": lost, "notes": ["203 of 210 pictures & more"]}
    file.write_text(json.dumps(json.loads(file.read_text()) | more))
    page = page_of(study(), ABOUT, tmp_path)
    assert "Unreadable pictures, left out: 203" in page
    assert "<p>203 of 210 pictures &amp; more</p>" in page
    assert page.count(".png: &lt;broken&gt;</li>") == 200
    assert "3 more stand in artifacts/data.json" in page


def elements(text: str, folder: Path) -> list[str]:
    write_artifacts(folder, text)
    about = {**ABOUT, "versions": {text: text}}
    page = Page(page_of(evil_study(text), about, folder))
    return [tag for tag, _ in page.elements]


@functools.cache
def harmless(folder: Path) -> list[str]:
    """The elements of a page with a name that is one in every respect."""
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
    text = _json(value)
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


def test_every_section_is_there_with_its_heading(tmp_path: Path) -> None:
    page = Page(page_of(study(12), ABOUT, tmp_path))
    assert [a["id"] for a in page.with_tag("section")] == list(SECTIONS)
    named = {a.get("id") for a in page.with_tag("h2")}
    assert {a["aria-labelledby"] for a in page.with_tag("section")} <= named
    targets = {str(a["href"])[1:] for a in page.with_tag("a")}
    assert targets <= {a.get("id") for _, a in page.elements}


def test_the_page_alone_answers_what_its_reader_asks(tmp_path: Path) -> None:
    write_artifacts(tmp_path, "cat")
    wrong = json.loads((tmp_path / "artifacts" / "winner.json").read_text())
    scored = wrong["evaluation"]["classes"][0]
    wrong["evaluation"] |= {
        "classes": [scored, {**scored, "label": "dog"}],
        "confusion": [[1, 2], [0, 3]],
    }
    (tmp_path / "artifacts" / "winner.json").write_text(json.dumps(wrong))
    runs = [{"trial": 39, "seed": s, "value": 0.7, "epoch": 1, "seconds": 1.0} for s in (1, 2)]
    refined = {**runs[0], "value": 0.6, "refined": True}
    test = {"trial": 39, "value": 0.4, "images": 100}
    trials = tuple(
        replace(
            one,
            state="finished" if one.number > 2 else "stopped",
            reason="place 9 of 12 at rung 2",
            config={"backbone": "abc"[n // 14], "dropout": n * 7 % 40 / 40, "head_units": []},
        )
        for n, one in enumerate(study(40).trials)
    )
    facts = {"confirmation": [*runs, refined], "test": test, "baselines": {"guess": 0.2}}
    about = {**ABOUT, "data": {"images": {"train": 9, "validation": 200, "test": 100}}}
    page = Page(page_of(StudyRecord(Direction.MAX, trials, facts), about, tmp_path))
    for answer in (
        "Trial 39 wins (c, head none): validation accuracy 0.7438 (95 %: 0.6791 to 0.7993) on 200",
        "place 1 of 40, 0.0062 ahead of trial 38",
        "Trial 39 confirmed: 0.7000 ± 0.0000 on 2 fresh seeds (the search saw 0.7438)",
        "Refined with online augmentation: 0.6000, not better, not kept",
        "Tied with it on the 200 validation pictures: trials 38, 37",
        "Test accuracy of trial 39, evaluated once: 0.4000 (95 %: 0.3094 to 0.4980, Wilson) on 100",
        "the test score lies 0.3000 below validation",
        "Trial 39 is 0.5437 better than the best baseline, guess",
        'the most frequent mistake: 2 of 3 validation pictures of "cat" are called "dog"',
        "Of the differences in accuracy over the search space (their variance), backbone explains",
        "How trials count that did not finish: 3 stopped early, with the best value that they",
        "10 more trials like these may help",
    ):
        assert answer.lower() in page.text.lower(), answer
    told = json.loads(page.scripts["page"])
    assert told["trials"]["0"]["reason"] == "place 9 of 12 at rung 2"
    assert "stopped early" in told["words"]["rung"]
    assert {"more", "importance"} <= told["figures"].keys()


def test_every_key_of_a_configuration_says_what_it_means() -> None:
    assert set(TrialConfig.model_fields) <= {*COLUMN_HELP, *glossary.CURVE}


def test_what_is_absent_is_named(tmp_path: Path) -> None:
    text = Page(page_of(study(2), ABOUT, tmp_path)).text
    for missing in ("best/manifest.json", "artifacts/winner.json", "artifacts/data.json"):
        assert f"there is no {missing}" in text
    assert (
        "too few trials to tell what mattered: 2 count, and at least 10 are needed" in text.lower()
    )


@pytest.mark.parametrize(
    "record",
    [
        StudyRecord(Direction.MAX, ()),
        StudyRecord(Direction.MAX, (TrialRecord(0, "waiting", {}, {}),)),
        StudyRecord(Direction.MIN, (TrialRecord(0, "failed", {}, {}, "no memory"),)),
        StudyRecord(Direction.MAX, (trial(0),)),
    ],
    ids=["nothing", "waiting", "failed", "one"],
)
def test_a_study_that_has_hardly_begun_has_a_page(record: StudyRecord, tmp_path: Path) -> None:
    page = Page(page_of(record, ABOUT, tmp_path))
    assert len(page.with_tag("section")) == len(SECTIONS)


def test_formats_that_were_left_out_are_told_with_the_reason(tmp_path: Path) -> None:
    bundle = {"artifacts": [{"format": "keras", "bytes": 1}], "left_out": {"onnx": "p < .05"}}
    (tmp_path / "best").mkdir()
    (tmp_path / "best" / "manifest.json").write_text(json.dumps(bundle))
    page = page_of(study(2), ABOUT, tmp_path)
    assert "<p>Left out: onnx: p &lt; .05</p>" in page
    del bundle["left_out"]
    (tmp_path / "best" / "manifest.json").write_text(json.dumps(bundle))
    assert "Left out" not in page_of(study(2), ABOUT, tmp_path)


def test_a_test_split_that_two_winners_saw_is_told(tmp_path: Path) -> None:
    tests = [{"trial": n, "value": 0.5, "images": 40} for n in range(2)]
    told = "the test split was evaluated for 2 winners"
    for count in (1, 2):
        facts = {"test": tests[0], "tests": tests[:count]}
        page = Page(
            page_of(StudyRecord(Direction.MAX, (trial(0), trial(1)), facts), ABOUT, tmp_path)
        )
        assert (told in page.text) == (count == 2)


@pytest.mark.parametrize(("named", "shown"), [({}, "accuracy"), ({"metric": "auc"}, "auc")])
def test_the_card_of_the_test_score_names_its_metric(
    named: dict[str, str], shown: str, tmp_path: Path
) -> None:
    facts = {"test": {"trial": 0, "value": 0.5, "images": 40, **named}}
    page = Page(page_of(StudyRecord(Direction.MAX, (trial(0),), facts), ABOUT, tmp_path))
    assert f"Test {shown}" in page.text


def test_confusion_is_shown_for_each_split_that_was_measured(tmp_path: Path) -> None:
    write_artifacts(tmp_path, "cat")
    for splits in (["validation", "test"], ["validation"]):
        page = Page(page_of(study(), ABOUT, tmp_path))
        labels = [a.get("aria-label") for _, a in page.elements]
        found = [label for label in labels if str(label).startswith("Confusion matrix of")]
        assert found == [f"Confusion matrix of the {split} split" for split in splits]
        (tmp_path / "artifacts" / "test.json").unlink(missing_ok=True)


def test_damaged_files_are_left_out_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "artifacts").mkdir()
    (tmp_path / "artifacts" / "data.json").write_text('{"classes": 3')
    (tmp_path / "trials" / "00000").mkdir(parents=True)
    whole = '{"epoch": 0, "value": 0.5, "seconds": 1.0}\n'
    (tmp_path / "trials" / "00000" / "curves.jsonl").write_text(whole + '{"epoch": 1, "va')
    page = Page(page_of(study(), ABOUT, tmp_path))
    assert "data.json: left out of the page, damaged" in caplog.text
    assert json.loads(page.scripts["page"])["trials"]["0"]["curve"] == [json.loads(whole)]


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


def test_a_study_that_knows_the_warm_up_alone_has_a_page(tmp_path: Path) -> None:
    for config in ({"unfrozen_layers": 0}, {"unfrozen_layers": 15}):
        record = StudyRecord(Direction.MAX, (TrialRecord(0, "unfinished", config, {0: 0.5}),))
        assert "trial 0" in page_of(record, ABOUT, tmp_path).lower()


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

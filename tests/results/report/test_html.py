"""The page of a study: complete, and available for every study."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from pages import ABOUT, Page, page_of, study, trial, write_artifacts

from tlsearch.config.catalog import Direction
from tlsearch.config.trial_config import TrialConfig
from tlsearch.results.rank.leaderboard import COLUMN_HELP
from tlsearch.results.record.journal import StudyRecord, TrialRecord
from tlsearch.results.report import glossary

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
    assert "3 more are listed in artifacts/data.json" in page


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
        "Trial 39 confirmed: mean 0.7000 ± 0.0000 over 2 fresh seeds (0.7438 in the search)",
        "Refined with online augmentation: 0.6000, not better, not kept",
        "Tied with it on the 200 validation pictures: trials 38, 37",
        "Test accuracy of trial 39, evaluated once: 0.4000 (95 %: 0.3094 to 0.4980, Wilson) on 100",
        "the test score lies 0.3000 below validation",
        "Trial 39 is 0.5437 better than the best baseline, guess",
        'the most frequent mistake: 2 of 3 validation pictures of "cat" are predicted as "dog"',
        "of the variance in accuracy over the search space",
        "Trials that did not finish: 3 stopped early (counted with their best value)",
        "10 more trials like these may help",
    ):
        assert answer.lower() in page.text.lower(), answer
    payload = json.loads(page.scripts["page"])
    assert payload["trials"]["0"]["reason"] == "place 9 of 12 at rung 2"
    assert "stopped early" in payload["words"]["rung"]
    assert {"more", "importance"} <= payload["figures"].keys()


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
    payload = "the test split was evaluated for 2 winners"
    for count in (1, 2):
        facts = {"test": tests[0], "tests": tests[:count]}
        page = Page(
            page_of(StudyRecord(Direction.MAX, (trial(0), trial(1)), facts), ABOUT, tmp_path)
        )
        assert (payload in page.text) == (count == 2)


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
        assert page.text.count("rows are true classes, columns are predicted") == len(splits)
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


def test_a_study_that_knows_the_warm_up_alone_has_a_page(tmp_path: Path) -> None:
    for config in ({"unfrozen_layers": 0}, {"unfrozen_layers": 15}):
        record = StudyRecord(Direction.MAX, (TrialRecord(0, "unfinished", config, {0: 0.5}),))
        assert "trial 0" in page_of(record, ABOUT, tmp_path).lower()

"""The page of a study in a real browser, used with the mouse and the keyboard."""

import io
import json
import os
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

pytestmark = pytest.mark.browser

RANKED = ["11", "10", "9", "8", "7", "6", "5", "4", "3", "2", "0", "1"]  # trial 1 failed
TAB, ENTER, ESCAPE = "\ue004", "\ue007", "\ue00c"


def test_no_error_and_no_request(report: Any) -> None:
    assert report.driver.get_log("browser") == []
    messages = [json.loads(e["message"])["message"] for e in report.driver.get_log("performance")]
    asked = [
        m["params"]["request"]["url"]
        for m in messages
        if m["method"] == "Network.requestWillBeSent"
    ]
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []


def test_plots_are_drawn(report: Any) -> None:
    assert report.see("document.documentElement.dataset.plots") == "drawn"
    drawn = report.see(
        "Object.fromEntries([...document.querySelectorAll('[data-figure]')].map(place =>"
        " [place.dataset.figure, place.querySelectorAll('.point, .js-line').length]))"
    )
    expected = {"curves", "importance", "more", "parallel", "seconds", "timeline", "slice-backbone"}
    assert expected <= drawn.keys()
    assert [name for name, marks in drawn.items() if not marks] == []


def test_a_column_sorts_by_mouse_both_ways(report: Any) -> None:
    assert report.column("trial") == RANKED
    report.click("#board th:nth-child(2) button")
    assert report.column("trial") == sorted(RANKED, key=int)
    report.click("#board th:nth-child(2) button")
    assert report.column("trial") == sorted(RANKED, key=int, reverse=True)
    assert report.see("document.querySelector('#board th:nth-child(2)').ariaSort") == "descending"
    assert report.see("document.querySelectorAll('#board th[aria-sort]').length") == 1


def test_a_column_sorts_by_keyboard(report: Any) -> None:
    report.see("document.querySelector('#board th:nth-child(1) button').focus()")
    report.press(TAB, ENTER)
    assert report.column("trial") == sorted(RANKED, key=int)


def test_what_has_no_value_sorts_last_both_ways(report: Any) -> None:
    for _ in range(2):
        report.click("#board th:nth-child(4) button")
        assert report.column("trial")[-1] == "1"


def test_the_filter_keeps_rows_with_every_word(report: Any) -> None:
    report.click("#filter")
    report.press("photos finished")
    assert report.column("trial") == ["11", "10", "8", "7", "5", "4", "2"]
    shown = "document.getElementById('shown').textContent"
    assert report.see(shown) == "7 of 12 trials"
    report.press(" nosuch")
    assert report.see(shown) == "0 of 12 trials"


def test_a_row_opens_its_trial_by_mouse(report: Any) -> None:
    report.click("#board tbody tr:nth-child(2) td.state")
    assert report.see("document.getElementById('trial').open")
    assert report.see("document.getElementById('trial-title').textContent") == "Trial 10: finished"
    assert report.see("document.querySelectorAll('#trial-plot .point').length") == 7
    assert report.see("document.querySelectorAll('#trial-epochs tbody tr').length") == 7


def test_a_row_opens_its_trial_by_keyboard_and_gives_the_focus_back(report: Any) -> None:
    report.see("document.querySelector('#board tbody tr button').focus()")
    report.press(ENTER)
    assert report.see("document.activeElement.textContent") == "Trial 11: finished"
    report.press(ESCAPE)
    assert not report.see("document.getElementById('trial').open")
    assert report.see("document.activeElement.ariaLabel") == "Open trial 11"


def test_the_words_of_a_reason_are_explained_under_it(report: Any) -> None:
    words = "document.getElementById('trial-words')"
    report.click("#board tbody tr:nth-child(11) td.state")
    assert report.see("document.getElementById('trial-reason').textContent").endswith("at rung 2")
    assert report.see(f"{words}.textContent").startswith(
        "rungAn epoch at which the search compares"
    )
    report.press(ESCAPE)
    report.click("#board tbody tr:nth-child(1) td.state")
    assert not report.see(f"{words}.checkVisibility()")


@pytest.mark.parametrize("width", [400, 1400])
def test_the_first_screen_tells_who_won_and_how_it_tested(report: Any, width: int) -> None:
    report.screen(width, 1000)
    report.driver.refresh()
    seen = "[...document.querySelectorAll('.lead, .warning, .verdict li')].filter(e =>"
    seen += " e.getBoundingClientRect().bottom < window.innerHeight).map(e => e.textContent)"
    page_text = "\n".join(report.see(seen))
    assert "Trial 11 wins" in page_text
    assert "Test accuracy of trial 11, evaluated once: 0.8000 (95 %: " in page_text


def test_each_batch_is_drawn_where_it_was_kept(report: Any) -> None:
    report.click("#board tbody tr:nth-child(4) td.state")
    assert report.see("document.getElementById('trial-title').textContent") == "Trial 8: finished"
    names = "[...document.querySelectorAll('#trial-plot .legendtext')].map(t => t.textContent)"
    expected = {"batch losses", "batch accuracies", "accuracy, train", "accuracy, validation"}
    assert expected < set(report.see(names))
    heads = "[...document.querySelectorAll('#trial-epochs th')].map(t => t.textContent)"
    assert report.see(heads)[:2] == ["epoch", "value"]
    assert "batch losses" not in report.see(heads)


def test_a_trial_without_a_curve_opens_too(report: Any) -> None:
    report.click("#board tbody tr:last-child td.state")
    reason = report.see("document.getElementById('trial-reason').textContent")
    assert reason == f"because {report.evil}"
    assert report.driver.get_log("browser") == []


def test_an_evil_class_name_is_read_as_it_is_written(report: Any) -> None:
    assert report.see("document.querySelector('.confusion tbody th').textContent") == report.evil
    ticks = "[...document.querySelectorAll('#plot-slice-backbone .xtick')].map(t => t.textContent)"
    assert report.see(ticks) == [report.evil, "photos"]


def test_definitions_appear_on_hover_and_on_focus(report: Any) -> None:
    tip = "document.getElementById('tip')"
    report.point_at("#board tbody tr td:nth-child(4)")
    assert "validation split" in report.see(f"{tip}.textContent")
    assert report.see(f"{tip}.checkVisibility()")
    report.press(ESCAPE)
    assert not report.see(f"{tip}.checkVisibility()")
    report.see("document.querySelector('#curves abbr').focus()")  # far below the window
    report.press(TAB)
    assert report.see("document.activeElement.textContent") == "epoch"
    assert "after the warm-up" in report.see(f"{tip}.textContent")
    assert report.see(f"{tip}.checkVisibility()")


def test_every_column_says_what_it_means(report: Any) -> None:
    silent = report.see(
        "[...document.querySelectorAll('#board th button, main abbr')]"
        ".filter(e => !e.dataset.meaning).map(e => e.textContent)"
    )
    assert silent == []


@pytest.mark.parametrize("width", [320, 390, 768])
def test_a_narrow_page_does_not_scroll_sideways(report: Any, width: int) -> None:
    report.screen(width, 800)
    report.driver.refresh()
    assert report.see("document.documentElement.scrollWidth") <= width
    box = "document.querySelector('#leaderboard .box')"
    assert report.see(f"{box}.scrollWidth > {box}.clientWidth")


def test_dark_reaches_page_and_plots(report: Any) -> None:
    page = "getComputedStyle(document.body).backgroundColor"
    text = "getComputedStyle(document.querySelector('#plot-curves .xtick text')).fill"
    light = report.see(page), report.see(text)
    report.dark(True)
    assert report.see(page) == "rgb(21, 24, 28)" != light[0]
    assert report.see(text) == "rgb(230, 232, 235)" != light[1]


def test_pictures_are_shown(report: Any) -> None:
    widths = report.see("[...document.images].map(i => i.naturalWidth)")
    assert widths == [16] * 4


LOOKS = {"light": (1280, False), "dark": (1280, True), "phone": (390, False)}


@pytest.mark.parametrize("look", LOOKS)
def test_every_section_shows_something(report: Any, look: str, tmp_path: Path) -> None:
    """The screenshots are kept in the folder given by TLSEARCH_SHOTS, for a person to look at."""
    width, dark = LOOKS[look]
    report.screen(width, 900)
    report.dark(dark)
    report.driver.refresh()
    folder = Path(os.environ.get("TLSEARCH_SHOTS", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    for section in report.driver.find_elements("css selector", "section[id]"):
        png = section.screenshot_as_png
        name = section.get_attribute("id")
        (folder / f"{look}-{name}.png").write_bytes(png)
        shown = Image.open(io.BytesIO(png)).convert("L").resize((200, 200))
        assert len(set(shown.getdata())) > 20, f"{name} is empty"

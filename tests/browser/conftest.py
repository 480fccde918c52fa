"""A real browser that shows the page of a study with every section."""

import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tlsearch.config.catalog import Direction
from tlsearch.results.rank.leaderboard import leaderboard
from tlsearch.results.record.directory import StudyDirectory
from tlsearch.results.record.journal import StudyRecord, TrialRecord
from tlsearch.results.report.html import render_html

# A class name, a backbone and a reason that would run as a script if they were not escaped.
EVIL = "<script>alert(1)</script>"

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Start Debian's chromium with its own driver."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = webdriver.ChromeService(executable_path=shutil.which("chromedriver"))
    driver = webdriver.Chrome(options=options, service=service)
    yield driver
    driver.quit()


@pytest.fixture(scope="session")
def report_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the page of a study of twelve trials, with images and malicious names."""
    study = tmp_path_factory.mktemp("study")
    write_artifacts(study / "artifacts")
    write_curve(study / "trials" / "00008")
    path = study / "index.html"
    board = leaderboard(study_record(), ABOUT, study / "best")
    path.write_text(render_html(board, StudyDirectory(study)), encoding="utf-8")
    return path


def write_curve(folder: Path) -> None:
    """Write three epochs with values for each batch."""
    folder.mkdir(parents=True)
    batches = {"batch_losses": [0.9, 0.8, 0.7], "batch_accuracies": [0.5, None, 0.7]}
    point = {"value": 0.6, "train_value": 0.6, "train_loss": 0.8, "validation_loss": 0.9}
    lines = [
        json.dumps({"epoch": epoch, **point, "seconds": 1.0, **batches}) + "\n"
        for epoch in range(3)
    ]
    (folder / "curves.jsonl").write_text("".join(lines))


class Reader:
    """A person who reads a page: what they see, click and press."""

    evil = EVIL

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def screen(self, width: int, height: int) -> None:
        """Set the size of the window in CSS pixels."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)

    def dark(self, on: bool) -> None:
        """Emulate a reader who prefers a dark or light scheme, and reduced motion."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if on else "light"}
        still = {"name": "prefers-reduced-motion", "value": "reduce"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme, still]})

    def see(self, expression: str, *arguments: Any) -> Any:
        """Return the value of a JavaScript expression in the page."""
        return self.driver.execute_script(f"return {expression}", *arguments)

    def click(self, selector: str) -> None:
        """Click an element with the mouse."""
        self.driver.find_element("css selector", selector).click()

    def point_at(self, selector: str) -> None:
        """Rest the mouse on an element until its tooltip appears.

        The page moves while it draws its plots, so the mouse may miss the element and tries again.
        """
        from selenium.webdriver import ActionChains
        from selenium.webdriver.support.wait import WebDriverWait

        def explained(driver: Any) -> bool:
            mouse = ActionChains(driver)
            for place in ("h1", selector):
                mouse.move_to_element(driver.find_element("css selector", place))
            mouse.pause(0.5).perform()
            return bool(self.see("!document.getElementById('tip').hidden"))

        WebDriverWait(self.driver, timeout=60).until(explained)

    def press(self, *keys: str) -> None:
        """Press keys in whichever element has the focus."""
        from selenium.webdriver import ActionChains

        ActionChains(self.driver).send_keys(*keys).perform()

    def column(self, name: str) -> list[str]:
        """Return the visible cells of a column in the table of trials."""
        heads = self.see("[...document.querySelectorAll('#board th')].map(h => h.textContent)")
        return list(
            self.see(
                "[...document.querySelectorAll('#board tbody tr')].filter(r => !r.hidden)"
                ".map(r => r.cells[arguments[0]].textContent)",
                heads.index(name),
            )
        )


@pytest.fixture
def report(browser: Any, report_file: Path) -> Reader:
    """Open the page anew on a wide, light screen."""
    reader = Reader(browser)
    reader.screen(1280, 900)
    reader.dark(False)
    for kind in ("browser", "performance"):
        browser.get_log(kind)  # discard the logs of earlier tests
    browser.get(report_file.as_uri())
    return reader


ABOUT: dict[str, Any] = {
    "config": {
        "name": "pets",
        "metric": "accuracy",
        "epochs": 6,
        "scheduler": {"kind": "asha", "first_rung": 2, "reduction": 3},
        "data": {"path": f"/{EVIL}"},
    },
    "data": {"images": {"train": 200, "validation": 100, "test": 100}},
    "versions": {"python": "3.11.7", "tlsearch": "0.1.0"},
}
START = datetime(2026, 1, 1, tzinfo=UTC)


def study_record() -> StudyRecord:
    """Return twelve trials on two workers; trial 0 stopped, 1 failed, 11 is the best."""
    trials = tuple(_trial(number) for number in range(12))
    facts = {"baselines": {EVIL: 0.5}, "test": {"trial": 11, "value": 0.8, "images": 100}}
    return StudyRecord(Direction.MAX, trials, facts)


def _trial(number: int) -> TrialRecord:
    config = {
        "backbone": EVIL if number % 3 == 0 else "photos",
        "unfrozen_layers": number % 2 * 15,
        "head_units": [64] if number % 3 else [],
        ("fine_tune_lr" if number % 2 else "head_lr"): 1e-4 * (number + 1),
    }
    state = {0: "stopped", 1: "failed"}.get(number, "finished")
    epochs = {0: 2, 1: 0}.get(number, 6)
    values = {e: 0.5 + 0.02 * number + 0.01 * e for e in range(epochs + 1)} if epochs else {}
    return TrialRecord(
        number,
        state,  # type: ignore[arg-type]
        config,
        values,
        reason="place 4 of 5 at rung 2" if state == "stopped" else f"because {EVIL}",
        seconds=3.0 + number,
        trained_parameters=1000 * number,
        worker=f"host {number % 2}",
        started=START + timedelta(seconds=10 * number),
        ended=START + timedelta(seconds=10 * number + 19),
    )


def write_artifacts(folder: Path) -> None:
    """Write two classes, one with a malicious name, and a noise image for each gallery."""
    from PIL import Image

    folder.mkdir()
    Image.effect_noise((16, 16), 80).save(folder / "noise.png")
    data = {
        "classes": [EVIL, "dog"],
        "images": {split: {EVIL: 10, "dog": 12} for split in ("train", "validation", "test")},
        "duplicates": "2 duplicates were dropped.",
        "samples": {EVIL: ["noise.png"], "dog": ["noise.png"]},
    }
    scored = {"precision": 0.9, "recall": 0.9, "f1": 0.9, "images": 10}
    prediction = {"picture": "noise.png", "shown": EVIL, "called": "dog", "probability": 0.98}
    winner = {
        "trial": 11,
        "split": "validation",
        "evaluation": {
            "images": 20,
            "scores": {"accuracy": 0.9},
            "classes": [{"label": name, **scored} for name in (EVIL, "dog")],
            "confusion": [[9, 1], [1, 9]],
        },
        "mistakes": [prediction],
        "samples": [{**prediction, "called": EVIL}],
    }
    (folder / "data.json").write_text(json.dumps(data))
    (folder / "winner.json").write_text(json.dumps(winner))

"""The page of a small study, parsed as a browser does."""

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from PIL import Image

from tlsearch.config.catalog import Direction
from tlsearch.results.rank.leaderboard import leaderboard
from tlsearch.results.record.directory import StudyDirectory
from tlsearch.results.record.journal import StudyRecord, TrialRecord
from tlsearch.results.report.html import render_html

ABOUT: dict[str, Any] = {
    "config": {
        "name": "pets",
        "metric": "accuracy",
        "scheduler": {"kind": "asha", "first_rung": 1, "reduction": 3},
    },
    "versions": {"python": "3.11.7", "tlsearch": "0.1.0", "optuna": "5.0.0"},
}


class Page(HTMLParser):
    """A page as a browser parses it: its elements, and the text of each script."""

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


def trial(number: int, value: float = 0.5, **more: Any) -> TrialRecord:
    config = {"backbone": "photos", "unfrozen_layers": number % 3, "head_lr": 0.001 * (number + 1)}
    return TrialRecord(
        number, "finished", config, {0: value / 2, 1: value}, seconds=1.0 + number, **more
    )


def study(count: int = 3) -> StudyRecord:
    return StudyRecord(Direction.MAX, tuple(trial(n, 0.5 + n / (4 * count)) for n in range(count)))


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

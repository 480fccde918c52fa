"""A whole notebook: a search on arrays from plain values, looked at, extended, replayed, used."""

import os
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from PIL import Image

pytestmark = [pytest.mark.cluster, pytest.mark.training]

CELLS = {
    "run": """
import numpy as np
import tlsearch
from sklearn.datasets import load_digits
from tlsearch.errors import ConfigError

digits = load_digits()
images, labels = (digits.images[:210] * 15.9).astype("uint8"), digits.target[:210]
space = {
    "data": {"image_px": 32, "splits": {"train": 60, "validation": 70, "test": 80}},
    "space": {"backbone": "strokes", "unfrozen_layers": 0, "head_lr": 1e-2, "dropout": [0.0, 0.2]},
    "epochs": 1, "trials": 1, "confirm": 0, "cache": "cache",
}
study = tlsearch.run(space, "study", data=(images, labels))
""",
    "show": "study",
    "resume": """
study = study.resume(trials="+1", listen=lambda event: None)
len(study.leaderboard()), len(tlsearch.report("study")), len(tlsearch.compare([study, "study"]))
""",
    "refuse": """
try:
    tlsearch.resume("study", settings=["seed=3"])
except ConfigError as error:
    print(error)
""",
    "curves": """
curve = study.curves(0)
list(curve["epoch"]), "validation_loss" in curve, len(study.curves()) > 0
""",
    "replay": "study.replay(0).matched",
    "model": """
model = study.best_model()
model(np.zeros((1, 20, 30, 3), "float32")).shape
""",
    "predict": """
[found.ranking[0][0] in study.about["data"]["classes"]
 for found in tlsearch.predict("study/best", "digit.png")]
""",
}


@pytest.fixture(scope="module")
def outputs(tmp_path_factory) -> dict[str, list[dict[str, Any]]]:
    """What each cell showed."""
    home = tmp_path_factory.mktemp("home")
    Image.new("L", (20, 20)).save(home / "digit.png")
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(code.strip()) for code in CELLS.values()]
    )
    client = NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(home)}}
    )
    client.execute(env={**os.environ, "HOME": str(home)})
    return dict(zip(CELLS, (cell.outputs for cell in notebook.cells), strict=True))


def value(shown: list[dict[str, Any]]) -> str:
    """The value of a cell's last line."""
    return next(
        one["data"]["text/plain"] for one in shown if one["output_type"] == "execute_result"
    )


def printed(shown: list[dict[str, Any]]) -> str:
    return "".join(one["text"] for one in shown if one["output_type"] == "stream")


def test_a_notebook_shows_how_far_the_search_is(outputs):
    said = printed(outputs["run"])
    assert "10 classes; 60 train, 70 validation, 80 test" in said
    assert "[1/1] trial 0 strokes unfrozen 0" in said
    assert printed(outputs["resume"]) == ""
    kinds = [one["output_type"] for one in outputs["run"]]
    assert {*kinds} == {"stream"}  # nothing of Ray's


def test_a_study_shows_itself_as_a_small_table(outputs):
    shown = next(one["data"] for one in outputs["show"] if one["output_type"] == "execute_result")
    assert "trial 0 wins (strokes" in shown["text/html"]
    assert "<th>accuracy</th>" in shown["text/html"]
    assert shown["text/plain"].startswith("Study(")


def test_a_study_is_extended_looked_at_and_replayed(outputs):
    assert value(outputs["resume"]) == "(2, 2, 2)"
    assert "--set seed: found 3, expected 0 as the study began" in printed(outputs["refuse"])
    assert value(outputs["curves"]) == "([0, 1], True, True)"
    assert value(outputs["replay"]) == "True"


def test_the_winner_is_a_keras_model(outputs):
    assert value(outputs["model"]) == "TensorShape([1, 10])"
    assert value(outputs["predict"]) == "[True]"

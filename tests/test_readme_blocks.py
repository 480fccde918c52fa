"""The blocks of the READMEs run as written: shell line by line, Python in a notebook, except that
the search which the shell ran before is opened there.

A block whose fence says `install`, `cloud`, `gpu` or `long` needs a new environment, an account, a
GPU or more than a minute, and is not run here. The search space that `init` writes is made small,
as a reader may do.
"""

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
import yaml
from nbclient import NotebookClient

from tlsearch.cli.read.guides import GUIDES, guide_path

pytestmark = [pytest.mark.cluster, pytest.mark.training]

README = Path(__file__).parents[1] / "README.md"
BLOCK = re.compile(r"^```(sh|python) *(\w*)\n(.*?)^```", re.S | re.M)
ELSEWHERE = {"install", "cloud", "gpu", "long"}
NEW = 12  # images of a third class
SMALL: dict[str, Any] = {
    "space": {"backbone": "strokes", "unfrozen_layers": 0, "dropout": [0.0, 0.2]},
    "baselines": [],
    "epochs": 1,
    "trials": 2,
    "confirm": 0,
    "resources": {"max_concurrent": 1},
}


def blocks(page: Path, language: str) -> list[str]:
    """Return the blocks of a page that can run here."""
    found = BLOCK.findall(page.read_text())
    assert {mark for _, mark, _ in found} <= {"", *ELSEWHERE}
    return [text for its, mark, text in found if its == language and not mark]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, picture: Callable[..., None]) -> Path:
    """Write images under the names that the blocks use, and link other names to one study."""
    home = tmp_path_factory.mktemp("home")
    for number in range(48):
        picture(home / "photos" / ("cat", "dog")[number % 2] / f"{number}.png", number, 64)
    picture(home / "more" / "one.png", 0)
    picture(home / "some.jpg", 1)
    for name, target in {
        "pictures": "photos",
        "DIR": "runs/photos",
        "flowers-model": "runs/photos/best",
    }.items():
        (home / name).symlink_to(target)
    return home


@pytest.fixture(scope="module")
def searched(home: Path) -> Path:
    """Return the folder in which every line of shell has run."""
    env = {**os.environ, "HOME": str(home)}
    env["PATH"] = f"{Path(sys.executable).parent}:{env['PATH']}"
    pages = [README, *(guide_path(topic) for topic in GUIDES if topic not in ("code", "spaces"))]
    lines = [line for page in pages for text in blocks(page, "sh") for line in text.splitlines()]
    for line in lines:
        command = ["bash", "-e", "-c", line]
        done = subprocess.run(command, cwd=home, env=env, capture_output=True, text=True)
        assert done.returncode == 0, f"{line}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
        if line.startswith("tlsearch init"):
            space = home / "my.yaml"
            space.write_text(yaml.safe_dump(yaml.safe_load(space.read_text()) | SMALL))
    return home


def test_the_shell_blocks_run(searched: Path) -> None:
    assert (searched / "runs" / "photos" / "report" / "index.html").is_file()
    assert (searched / "report.html").is_file()


PREPARE = """
from sklearn.datasets import load_digits
digits = load_digits()
images, labels = (digits.images[:210] * 15.9).astype("uint8"), digits.target[:210].copy()
labels[::4] = 0  # a perfect trial would end the search
"""
# Additional cells of a reader, before anything else in the notebook imports TensorFlow.
ASKED = {
    "show": "study",
    "refuse": """
from tlsearch.errors import ConfigError
try:
    tlsearch.resume("runs/arrays", settings=["seed=3"])
except ConfigError as error:
    print(error)
""",
    "curves": """
curve = study.curves(0)
list(curve["epoch"])[:2], "validation_loss" in curve, len(study.curves()) > 0
""",
    "replay": "study.replay(0).matched",
}
AFTER = {
    "model": "model(images[:1, :, :, None].repeat(3, -1).astype('float32')).shape",
    "lengths": "len(study.leaderboard()), len(tlsearch.compare([study, 'runs/arrays']))",
}


@pytest.fixture(scope="module")
def shown(searched: Path, picture: Callable[..., None]) -> dict[str, list[Any]]:
    """Return the outputs of each statement of the README's Python, and of each additional cell."""
    folder = searched / "notebook"
    for name in ("photos", "runs/photos"):
        shutil.copytree(searched / name, folder / name)
    for number in range(NEW):
        picture(folder / "photos" / "new" / f"{number}.png", 100 + number, 64)
    (code,) = blocks(README, "python")
    ran = 'tlsearch.run("my.yaml", "runs/photos")'  # what the shell did
    assert ran in code
    code = code.replace(ran, 'tlsearch.Study("runs/photos")')
    statements = [ast.get_source_segment(code, node) or "" for node in ast.parse(code).body]
    later = next(n for n, line in enumerate(statements) if line.startswith("model = "))
    cells = [PREPARE, *statements[:later], *ASKED.values(), *statements[later:], *AFTER.values()]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    client = NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    )
    client.execute(env={**os.environ, "HOME": str(searched)})
    named = {code: name for name, code in (ASKED | AFTER).items()}
    return {named.get(cell.source, cell.source): cell.outputs for cell in notebook.cells}


def of(shown: dict[str, list[Any]], beginning: str) -> list[Any]:
    """Return the outputs of the last statement with this beginning."""
    return [found for code, found in shown.items() if code.startswith(beginning)][-1]


def value(outputs: list[Any]) -> Any:
    """Return the value of a cell's last line, by MIME type."""
    return next(one["data"] for one in outputs if one["output_type"] == "execute_result")


def printed(outputs: list[Any]) -> str:
    return "".join(one["text"] for one in outputs if one["output_type"] == "stream")


def test_a_notebook_shows_how_far_the_search_is(shown: dict[str, list[Any]]) -> None:
    search = of(shown, "study = tlsearch.run(space")
    assert "10 classes; " in printed(search)
    assert re.search(r"\[6/6\] trial \d+ strokes unfrozen 0", printed(search))
    assert {one["output_type"] for one in search} == {"stream"}  # no output from Ray


def test_a_study_shows_itself_as_a_small_table(shown: dict[str, list[Any]]) -> None:
    found = value(shown["show"])
    assert re.search(r"trial \d+ wins \(strokes", found["text/html"])
    assert "<th>accuracy</th>" in found["text/html"]
    assert found["text/plain"].startswith("Study(")


def test_a_study_is_extended_looked_at_and_replayed(shown: dict[str, list[Any]]) -> None:
    assert value(shown["lengths"])["text/plain"] == "(10, 2)"
    assert "--set seed: found 3, expected 0 as the study began" in printed(shown["refuse"])
    assert value(shown["curves"])["text/plain"] == "([0, 1], True, True)"
    assert value(shown["replay"])["text/plain"] == "True"


def test_the_winner_is_a_keras_model_that_labels_pictures(shown: dict[str, list[Any]]) -> None:
    assert value(shown["model"])["text/plain"] == "TensorShape([1, 10])"
    assert printed(of(shown, "for picture in")).count("photos/new/") == NEW

"""The shell blocks of the READMEs run as they are written, line by line.

A block whose fence says `install`, `cloud`, `gpu` or `long` needs a new environment, an account, a
GPU or more than a minute, and is not run here. The search space that `init` writes is made small,
as a reader may change it.
"""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tlsearch.cli.read.guides import GUIDES, guide_path

pytestmark = [pytest.mark.cluster, pytest.mark.training]

README = Path(__file__).parents[1] / "README.md"
BLOCK = re.compile(r"^```sh *(\w*)\n(.*?)^```", re.S | re.M)
ELSEWHERE = {"install", "cloud", "gpu", "long"}
SMALL: dict[str, Any] = {
    "space": {"backbone": "strokes", "unfrozen_layers": 0, "dropout": [0.0, 0.2]},
    "baselines": [],
    "epochs": 1,
    "trials": 2,
    "confirm": 0,
    "resources": {"max_concurrent": 1},
}


def blocks(page: Path) -> list[str]:
    """The blocks of a page that can run here."""
    found = BLOCK.findall(page.read_text())
    assert {mark for mark, _ in found} <= {"", *ELSEWHERE}
    return [text for mark, text in found if not mark]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, picture: Callable[..., None]) -> Path:
    """Pictures under the names that the blocks use, and other names for one study."""
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
    """The folder in which every line of shell has run."""
    env = {**os.environ, "HOME": str(home)}
    env["PATH"] = f"{Path(sys.executable).parent}:{env['PATH']}"
    pages = [README, *(guide_path(topic) for topic in GUIDES if topic not in ("code", "spaces"))]
    lines = [line for page in pages for text in blocks(page) for line in text.splitlines()]
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

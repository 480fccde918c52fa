"""Promises of a release: pinned workflows, and wheels that depend on the commit alone."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PACKED = ("tlsearch", "search_spaces", "pyproject.toml", "README.md", "LICENSE")
PINNED = re.compile(r"[\w-]+/[\w-]+@[0-9a-f]{40}")


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_uses_pinned_actions_and_asks_for_few_rights(workflow: Path) -> None:
    plan = yaml.safe_load(workflow.read_text())
    assert plan["permissions"] == {"contents": "read"}
    steps = [step for job in plan["jobs"].values() for step in job["steps"]]
    used = [step["uses"] for step in steps if "uses" in step]
    assert used
    assert [action for action in used if not PINNED.fullmatch(action)] == []
    scripts = {path for step in steps for path in re.findall(r"\.ci/[\w-]+", step.get("run", ""))}
    assert scripts
    assert all(os.access(ROOT / script, os.X_OK) for script in scripts)


def test_the_workflow_of_every_push_runs_the_script_of_every_machine() -> None:
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())["jobs"]
    assert {"run": ".ci/run"} in jobs["test"]["steps"]
    assert jobs["test"]["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13"]


def test_a_wheel_holds_the_package_and_the_search_spaces_and_depends_on_nothing_else(
    tmp_path: Path,
) -> None:
    elsewhere = tmp_path / "copy"
    elsewhere.mkdir()
    for entry in PACKED:
        kind = shutil.copytree if (ROOT / entry).is_dir() else shutil.copyfile
        kind(ROOT / entry, elsewhere / entry)  # gives other file times
    first, second = built(ROOT, tmp_path / "a"), built(elsewhere, tmp_path / "b")
    assert first.read_bytes() == second.read_bytes()
    with zipfile.ZipFile(first) as archive:
        held = {entry for entry in archive.namelist() if ".dist-info/" not in entry}
    assert held == files("tlsearch") | {f"tlsearch/{file}" for file in files("search_spaces")}
    assert {"tlsearch/py.typed", "tlsearch/search_spaces/quickstart.yaml"} <= held


def built(source: Path, folder: Path) -> Path:
    """Build the wheel of a source tree."""
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "1700000000"}
    subprocess.run(build, cwd=source, env=environment, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def files(folder: str) -> set[str]:
    """Return the files in a folder of the project, without Python's caches."""
    found = (ROOT / folder).rglob("*")
    kept = (path for path in found if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(ROOT).as_posix() for path in kept}

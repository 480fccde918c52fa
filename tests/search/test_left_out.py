"""A search and an export of which one format cannot be written."""

import os
import subprocess
import sys

import pytest

from tlsearch.bundle.manifest import read_manifest

pytestmark = [pytest.mark.cluster, pytest.mark.training]

SPACE = """
data: {kind: digits, image_px: 32, splits: {train: 100, validation: 100, test: 100}}
space: {backbone: strokes, unfrozen_layers: 0, head_lr: 1e-2}
epochs: 2
trials: 1
confirm: 0
resources: {max_concurrent: 1}
export: [keras, onnx]
"""
MISSING = "raise ModuleNotFoundError(\"No module named 'tf2onnx'\", name='tf2onnx')"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("home")
    (folder / "space.yaml").write_text(SPACE)
    (folder / "broken" / "tf2onnx").mkdir(parents=True)
    (folder / "broken" / "tf2onnx" / "__init__.py").write_text(MISSING)
    return folder


def tlsearch(root, *words, broken):
    before = os.environ.get("PYTHONPATH", "")
    paths = [str(root / "broken"), before] if broken else [before]
    return subprocess.run(
        [sys.executable, "-m", "tlsearch.cli.main", *map(str, words)],
        cwd=root,
        env={**os.environ, "HOME": str(root), "PYTHONPATH": os.pathsep.join(filter(None, paths))},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def formats(bundle):
    manifest = read_manifest(bundle)
    return [artifact.format for artifact in manifest.artifacts], list(manifest.left_out)


REASON = "onnx: onnx needs tf2onnx: pip install 'tlsearch[onnx]'"


@pytest.fixture(scope="module")
def ran(root):
    return tlsearch(root, "run", "space.yaml", "--study", "study", broken=True)


def test_the_study_is_reported_and_keeps_the_formats_that_passed(root, ran):
    assert ran.returncode == 4, ran.stderr
    assert f"left out of the exported model: {REASON}" in ran.stdout
    assert f"model:  {root}/study/best/model.keras" in ran.stdout
    assert f"error: left out of the bundle: {REASON}" in ran.stderr
    assert formats(root / "study" / "best") == (["keras"], ["onnx"])
    assert REASON in (root / "study" / "report" / "leaderboard.md").read_text()
    assert "test accuracy of trial 0, evaluated once" in ran.stdout


def test_an_export_says_so_too_and_is_no_bundle_where_nothing_passes(root, ran):
    both = ["export", "study", "--formats", "keras,onnx", "--no-timed"]
    some = tlsearch(root, *both, "--out", "some", broken=True)
    assert some.returncode == 4, some.stderr
    assert f"error: left out of the bundle: {REASON}" in some.stderr
    assert formats(root / "some") == (["keras"], ["onnx"])
    none = tlsearch(root, "export", "study", "--formats", "onnx", "--out", "none", broken=True)
    assert none.returncode == 2
    assert f"error: nothing was exported: {REASON}" in none.stderr
    assert not (root / "none").exists()


def test_resume_makes_up_for_it_once_the_cause_is_gone(root, ran):
    done = tlsearch(root, "resume", "study", broken=False)
    assert done.returncode == 0, done.stderr
    assert "left out" not in done.stdout
    assert formats(root / "study" / "best") == (["keras", "onnx"], [])

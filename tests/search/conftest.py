"""Searches that several modules share, and a disk that does not slow down these tests."""

import os
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

SPACE = """
data: {kind: digits, image_px: 32, splits: {train: 60, validation: 70, test: 80}}
space:
  backbone: strokes
  unfrozen_layers: [0, 15]
  head_lr: {low: 1e-3, high: 1e-1, log: true}
  fine_tune_lr: {low: 1e-4, high: 1e-2, log: true}
epochs: 3
trials: 4
"""


@pytest.fixture(scope="module", autouse=True)
def _quick_disk() -> Iterator[None]:
    """Disable the fsync after each journal line, since no machine loses power here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda file: None)
        yield


@pytest.fixture(scope="session")
def replayed_space():
    """Return a space for four trials on a few digits, as text."""
    return SPACE


BLOCKS = """
data: {kind: digits, image_px: 32, splits: {train: 60, validation: 70, test: 80}}
space:
  backbone: [strokes, mobilenet_025]
  weights: none
  unfrozen_blocks: [0, 1, 3, all]
  head_lr: 1e-2
  fine_tune_lr: 1e-3
baselines:
  - {backbone: strokes, unfrozen_blocks: 3}
  - {backbone: mobilenet_025, unfrozen_blocks: 1}
  - {backbone: strokes, unfrozen_blocks: 0}
  - {backbone: strokes, unfrozen_blocks: all}
scheduler: none
epochs: 1
trials: 4
confirm: 1
export: [keras, onnx]
resources: {max_concurrent: 1}
"""
MISSING = "raise ModuleNotFoundError(\"No module named 'tf2onnx'\", name='tf2onnx')"


@pytest.fixture(scope="session")
def blocks_search(tmp_path_factory, command_line):
    """Run a search over blocks without tf2onnx; return its result `ran`, its `tlsearch` and `home`,
    and `broken`, the folder of the broken package.
    """
    tlsearch = command_line(tmp_path_factory.mktemp("home"))
    (tlsearch.home / "blocks.yaml").write_text(BLOCKS)
    folder = tlsearch.home / "broken"
    (folder / "tf2onnx").mkdir(parents=True)
    (folder / "tf2onnx" / "__init__.py").write_text(MISSING)
    paths = [str(folder), os.environ.get("PYTHONPATH", "")]
    broken = {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
    ran = tlsearch("run", "blocks.yaml", "--study", "study", **broken)
    return SimpleNamespace(tlsearch=tlsearch, home=tlsearch.home, ran=ran, broken=folder)

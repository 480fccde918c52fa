"""The process that verifies a file waits for it, and ends as soon as it is no longer needed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tlsearch.base.errors import RecordError
from tlsearch.bundle import runtimes
from tlsearch.bundle.reload_check import CleanProcess, main
from tlsearch.config.catalog import EXPORT_FORMATS

ONNX = EXPORT_FORMATS["onnx"]  # its runtime is imported at once
SIZES = [(3, 2), (1, 7), (40, 40), (40, 40)]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_every_picture_that_is_shown_is_predicted_in_its_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The images go through a real pipe to a model that returns their brightness."""
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (*size, 3), np.uint8) for size in SIZES]
    shown = tmp_path / "shown"
    with CleanProcess(ONNX, 1) as process, shown.open("wb") as file:
        monkeypatch.setattr(process._child, "stdin", file)
        process.load(tmp_path / "model.onnx", 1)
        for pixels in pictures:
            process.show(pixels)

    def light(images: np.ndarray) -> np.ndarray:
        share = images.reshape(len(images), -1).mean(axis=1, dtype=np.float32) / 255
        return np.stack([share, 1 - share], axis=1)

    monkeypatch.setattr(runtimes, "import_runtime", lambda *_: None)
    monkeypatch.setattr(runtimes, "load", lambda *_: light)
    with shown.open() as source:
        monkeypatch.setattr(sys, "stdin", source)
        main("keras", "1", str(tmp_path))
    found = np.load(tmp_path / "probabilities.npy")
    np.testing.assert_allclose(found[:, 0], [p.mean() / 255 for p in pictures], rtol=1e-5)


def test_a_process_that_ends_early_says_why_and_nobody_waits_for_it(tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    file.write_bytes(b"no model")
    with CleanProcess(ONNX, 1) as process:
        process.load(file, 32)
        for _ in range(200):  # more than fits into a pipe
            process.show(np.zeros((64, 64, 3), np.uint8))
        with pytest.raises(RecordError, match=r"^model\.onnx: cannot be used in a clean process"):
            process.answer()


BEGINS = """
import sys, time
from tlsearch.bundle.reload_check import CleanProcess
from tlsearch.config.catalog import EXPORT_FORMATS
print(CleanProcess(EXPORT_FORMATS["onnx"], 1)._child.pid, flush=True)
time.sleep(600)
"""


def test_a_process_without_a_file_ends_with_the_one_that_began_it() -> None:
    with subprocess.Popen([sys.executable, "-c", BEGINS], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert alive(child)
        parent.send_signal(signal.SIGKILL)
    until = time.monotonic() + 60
    while alive(child) and time.monotonic() < until:
        time.sleep(0.05)
    assert not alive(child)

"""The small search whose trials are replayed; a disk that does not keep these tests waiting."""

from collections.abc import Iterator

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
    """No waiting for the disk after each of a journal's lines: here no machine loses its power."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda file: None)
        yield


@pytest.fixture(scope="session")
def replayed_space():
    """A space for four trials on a few digits, as text."""
    return SPACE

"""The small search whose trials are replayed."""

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


@pytest.fixture(scope="session")
def replayed_space():
    """A space for four trials on a few digits, as text."""
    return SPACE

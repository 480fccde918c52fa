"""What several tests of bundles watch."""

import numpy as np
import pytest

from tlsearch.bundle import open_bundle


@pytest.fixture
def loaded(monkeypatch):
    """The files that would be handed to a runtime."""
    found = []

    def load(path, form, threads=None):
        found.append(path.name)
        return lambda images: np.full((len(images), 2), 0.5, np.float32)

    monkeypatch.setattr(open_bundle.runtimes, "load", load)
    return found

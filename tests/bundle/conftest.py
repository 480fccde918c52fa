"""A fixture that several tests of bundles share."""

import numpy as np
import pytest

from tlsearch.bundle import open_bundle


@pytest.fixture
def loaded(monkeypatch):
    """Collect the names of the files that would be loaded by a runtime."""
    found = []

    def load(path, form, threads=None):
        found.append(path.name)
        return lambda images: np.full((len(images), 2), 0.5, np.float32)

    monkeypatch.setattr(open_bundle.runtimes, "load", load)
    return found

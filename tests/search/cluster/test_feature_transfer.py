"""A node fetches features that another has, and computes them where that one goes."""

import numpy as np
import pytest

from tlsearch.features import Activation, FeatureKey, FeatureStore
from tlsearch.search.cluster.feature_transfer import Shelf

KEY = FeatureKey("w", "pool", "tf", 48, "float16", "i")
ROWS = np.arange(20, dtype="float16").reshape(10, 2)


@pytest.fixture
def shelf(tmp_path):
    """The shelf of a node whose cache holds one array."""
    store = FeatureStore(tmp_path, "float16")
    store.open_together([Activation(KEY, (2,))], 10, lambda _: lambda i, j: [ROWS[i:j]])
    return Shelf(tmp_path)


def test_a_shelf_gives_rows_of_what_it_holds(shelf):
    assert shelf.holds([KEY.name])
    assert not shelf.holds([KEY.name, "another"])
    (found,) = shelf.rows([KEY.name], 3, 7)
    np.testing.assert_array_equal(found, ROWS[3:7])
    with pytest.raises(LookupError):
        shelf.rows(["another"], 0, 1)

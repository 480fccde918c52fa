"""The files that a node's actor gives to other nodes and takes from them."""

import numpy as np
import pytest

from tlsearch.features import Activation, FeatureKey, FeatureStore
from tlsearch.results.record.directory import StudyDirectory
from tlsearch.search.cluster.node_files import NodeFiles

KEY = FeatureKey("w", "pool", "tf", 48, "float16", "i")
ROWS = np.arange(20, dtype="float16").reshape(10, 2)


@pytest.fixture
def files(tmp_path):
    """Return the files of a node whose cache holds one array."""
    store = FeatureStore(tmp_path, "float16")
    store.open_together([Activation(KEY, (2,))], 10, lambda _: lambda i, j: [ROWS[i:j]])
    return NodeFiles(tmp_path)


def test_a_node_gives_rows_of_the_features_that_it_holds(files):
    assert files.holds([KEY.name])
    assert not files.holds([KEY.name, "another"])
    (found,) = files.features([KEY.name], 3, 7)
    np.testing.assert_array_equal(found, ROWS[3:7])
    with pytest.raises(LookupError):
        files.features(["another"], 0, 1)


def test_a_file_is_read_as_it_was_written(files, tmp_path):
    place = StudyDirectory(tmp_path).trial(3) / "resume.npz"
    assert files.read(place) is None
    files.write(place, b"state")
    assert files.read(place) == place.read_bytes() == b"state"

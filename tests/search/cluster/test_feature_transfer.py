"""A node fetches features that another has, and computes them where that one goes."""

import subprocess
import sys

import numpy as np
import pytest
from small_cluster import Nodes

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


DRIVER = """
import sys
from pathlib import Path
import numpy as np
import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
from tlsearch.features import Activation, FeatureKey, FeatureStore
from tlsearch.search.cluster.feature_transfer import Fetched, Peers, shelf_here

KEY = FeatureKey("w", "pool", "tf", 48, "float16", "i")

@ray.remote(num_cpus=1)
class Slot:
    def made(self, cache):
        passes = []
        def prepare(missing):
            passes.append(missing)
            return lambda i, j: [np.arange(2000.0).reshape(1000, 2)[i:j]]
        store = FeatureStore(cache, "float16", fetch=Peers(cache))
        (found,) = store.open_together([Activation(KEY, (2,))], 1000, prepare)
        return len(passes), float(found.sum(dtype="float64"))
    def shelf(self, cache):
        return shelf_here(cache)

ray.init("auto", log_to_driver=False, logging_level="ERROR")
root = Path(sys.argv[1])
nodes = [n["NodeID"] for n in ray.nodes() if n["Resources"].get("CPU")]
slots = [
    Slot.options(scheduling_strategy=NodeAffinitySchedulingStrategy(n, soft=False)).remote()
    for n in nodes
]
for place, slot in enumerate(slots):
    print(*ray.get(slot.made.remote(root / str(place))))
shelf = ray.get(slots[0].shelf.remote(root / "0"))
block = Fetched(shelf, [KEY.name], lambda: lambda i, j: ["computed"])
print(block(1, 3)[0].tolist())
ray.kill(shelf)
print(block(1, 3))
"""


@pytest.mark.cluster
def test_the_second_node_computes_nothing_until_the_first_is_gone(tmp_path):
    nodes = Nodes(tmp_path, tmp_path / "nodes.log")
    try:
        for _ in range(2):
            nodes.add()
        command = [sys.executable, "-c", DRIVER, str(tmp_path)]
        env = nodes.environment()
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=180)
    finally:
        nodes.close()
    assert done.returncode == 0, done.stderr
    total = np.arange(2000.0).astype("float16").sum(dtype="float64")
    expected = [f"1 {total}", f"0 {total}", "[[2.0, 3.0], [4.0, 5.0]]", "['computed']"]
    assert done.stdout.splitlines() == expected

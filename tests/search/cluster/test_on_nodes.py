"""Several real Ray nodes on this machine: problems before the first trial, and transferred files.

One cluster serves all tests, since it takes ten seconds to start.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from small_cluster import Nodes

from tlsearch.results.record.directory import StudyDirectory
from tlsearch.results.record.journal import read_journal

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Yield a cluster of three nodes, one of which promises GPUs that it does not have; the
    temporary files of its processes are in `scratch`.
    """
    root = tmp_path_factory.mktemp("nodes")
    with (
        tempfile.TemporaryDirectory(  # short, since the names of Ray's sockets contain it
            prefix="tls-", dir="/tmp", ignore_cleanup_errors=True
        ) as scratch,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("TMPDIR", scratch)
        nodes = Nodes(root, root / "nodes.log")
        try:
            nodes.add()
            nodes.add(num_gpus=2, num_cpus=3)
            env = nodes.environment()
            patch.undo()
            yield SimpleNamespace(root=root, env=env, scratch=Path(scratch))
        finally:
            nodes.close()


def output(cluster, *command):
    """Return the stdout of a process that joins the cluster and succeeds."""
    done = subprocess.run(
        list(map(str, command)),
        cwd=cluster.root,
        env=cluster.env,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def alone_seeing(folder):
    """Return a command prefix that mounts an empty file system on a folder, in the command's own
    mount namespace; empty if none can be mounted.
    """
    script = 'mount -t tmpfs tlsearch "$0" && exec "$@"'
    prefix = ("unshare", "--mount", "sh", "-c", script, str(folder))
    if subprocess.run([*prefix, "true"], capture_output=True).returncode:
        if "faults" in os.environ.get("TLSEARCH_REQUIRE", "").split(","):
            pytest.fail("no file system can be mounted here")
        return ()
    return prefix


PROMISING = "data: {{kind: digits}}\ncache: {cache}\nresources: {{gpus_per_trial: 0.5}}\n"
PREFLIGHT = """
import sys
import ray
from pathlib import Path
from tlsearch.config.load import parse
from tlsearch.data.sources import prepare
from tlsearch.base.errors import ClusterError
from tlsearch.results.record.directory import StudyDirectory
from tlsearch.search.cluster import node_checks
from tlsearch.search.cluster.ray_session import connect
from tlsearch.search.cluster.array_transfer import delivery
from tlsearch.search.cluster.preflight import require_ready

root = Path(sys.argv[1])
config = parse((root / "space.yaml").read_text())
data = prepare(config.data, config.cache_path)
home = StudyDirectory(root / "study")
home.root.mkdir(exist_ok=True)
with connect(config.resources) as slots:
    print("slots", slots)
    fetch, copy = delivery(data, config.cache_path), root / "elsewhere" / data.images_path.name
    ray.get(ray.remote(num_cpus=1)(lambda: fetch(copy)).remote())
    print("delivered", copy.read_bytes() == data.images_path.read_bytes())
    try:
        require_ready(config, home)
        print("ready")
    except ClusterError as error:
        print(error)
    node_checks.node_versions.cache_clear()
    node_checks.metadata.version = lambda package: "1.2.3"  # as if this were another version
    try:
        require_ready(config, home)
    except ClusterError as error:
        print(error)
print("left", [path.name for path in home.root.iterdir()])
"""


@pytest.fixture(scope="module")
def printed(cluster):
    """Return a driver's output on the nodes as they are, then as if it ran other versions."""
    return driver(cluster)


def driver(cluster, *prefix):
    space = PROMISING.format(cache=cluster.root / "cache")
    (cluster.root / "space.yaml").write_text(space)
    return output(cluster, *prefix, sys.executable, "-c", PREFLIGHT, cluster.root)


def test_gpus_that_are_promised_and_not_there_are_found(printed):
    first = printed.split("nodes cannot")[1].splitlines()[1:]
    assert "slots 3" in printed
    assert "1 of 3 nodes cannot" in printed
    assert "ready" not in printed
    (row,) = [line for line in first if "nvidia-smi" in line]
    assert row.split()[1] == "gpu"
    assert row.endswith("0 that nvidia-smi sees")


def test_all_problems_of_all_nodes_come_in_one_table_and_no_marker_stays(printed):
    rows = printed.split("nodes cannot")[2].splitlines()[1:]
    assert "3 of 3 nodes cannot" in printed
    assert len([row for row in rows if " tensorflow " in row and " 1.2.3, as where" in row]) == 3
    assert len([row for row in rows if " gpu " in row]) == 1
    assert printed.splitlines()[-1] == "left []"


def test_images_come_to_a_node_that_does_not_see_the_drivers(printed):
    assert "delivered True" in printed


def test_storage_that_the_nodes_do_not_see_is_found_before_the_first_trial(cluster, printed):
    prefix = alone_seeing(cluster.root / "study")
    if not prefix:
        pytest.skip("no file system can be mounted here")
    rows = driver(cluster, *prefix).split("nodes cannot")[1].splitlines()[1:]
    seen = [row for row in rows if " storage " in row]
    assert len(seen) == 3
    assert all("No such file" in row and "shared by all nodes" in row for row in seen)


FEATURES = """
import sys
from pathlib import Path
import numpy as np
import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
from tlsearch.features import Activation, FeatureKey, FeatureStore
from tlsearch.search.cluster.array_transfer import Fetched, Peers
from tlsearch.search.cluster.node_files import files_here

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
    def files(self, cache):
        return files_here(cache)

ray.init("auto", log_to_driver=False, logging_level="ERROR")
root = Path(sys.argv[1])
nodes = [n["NodeID"] for n in ray.nodes() if n["Resources"].get("CPU")]
slots = [
    Slot.options(scheduling_strategy=NodeAffinitySchedulingStrategy(n, soft=False)).remote()
    for n in nodes
]
for place, slot in enumerate(slots):
    print(*ray.get(slot.made.remote(root / str(place))))
files = ray.get(slots[0].files.remote(root / "0"))
block = Fetched(files, [KEY.name], lambda: lambda i, j: ["computed"])
print(block(1, 3)[0].tolist())
ray.kill(files)
while True:  # until the actor has died
    try:
        ray.get(files.holds.remote([KEY.name]), timeout=10)
    except ray.exceptions.RayError:
        break
print(block(1, 3))
"""


def test_the_second_node_computes_nothing_until_the_first_is_gone(cluster):
    printed = output(cluster, sys.executable, "-c", FEATURES, cluster.root)
    total = np.arange(2000.0).astype("float16").sum(dtype="float64")
    expected = [f"1 {total}", f"0 {total}", "[[2.0, 3.0], [4.0, 5.0]]", "['computed']"]
    assert printed.splitlines() == expected


SPACE = """
data: {{kind: digits, image_px: 32, splits: {{train: 60, validation: 70, test: 80}}}}
space: {{backbone: "my_networks:small#unit", unfrozen_layers: [0, 2]}}
scheduler: promotion
epochs: 3
trials: 4
confirm: 1
cache: {cache}
"""
NETWORKS = """
import keras

def small():
    inputs = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(16, 3, strides=2, activation="relu")(inputs)
    return keras.Model(inputs, keras.layers.Conv2D(16, 3, strides=2, activation="relu")(x))
"""


def test_trials_on_another_node_leave_everything_with_the_driver(cluster):
    """Only the driver sees the folder in which it keeps the user's own network."""
    (cluster.root / "two.yaml").write_text(SPACE.format(cache=cluster.root / "cache"))
    (cluster.root / "my_networks.py").write_text(NETWORKS)
    home, shared = cluster.root / "home", cluster.root / "shared" / "one"
    (home / ".cache/tlsearch/networks").mkdir(parents=True)
    prefix = alone_seeing(home / ".cache/tlsearch/networks")
    command = ["tlsearch.cli.main", "run", "two.yaml", "--study", f"file://{shared}"]
    output(cluster, *prefix, "env", f"HOME={home}", sys.executable, "-m", *command)
    trials = read_journal(shared / "journal.log").trials
    assert {trial.state for trial in trials} <= {"finished", "stopped"}
    assert {trial.epochs for trial in trials} == {2, 3}  # one waited, and another actor resumed it
    for trial in trials:
        assert set(trial.values) == set(range(trial.epochs + 1))
        files = {path.name for path in StudyDirectory(shared).trial(trial.number).iterdir()}
        assert {"best.npz", "predictions.npz", "curves.jsonl", "log"} <= files
    assert list(shared.glob("trials/*/confirmed-*.npz"))
    assert list(cluster.scratch.glob("tlsearch-trial-*")) == []
    if prefix:
        assert len(list(cluster.root.glob(".cache/tlsearch/networks/*.keras"))) == 1  # on the nodes
    assert json.loads((shared / "best" / "manifest.json").read_text())["backbone"].endswith("keras")

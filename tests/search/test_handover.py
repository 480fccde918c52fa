"""The files of trials that train on another node than the driver's are the driver's in the end."""

import tempfile
from pathlib import Path

import pytest

from tlsearch.results.journal import read
from tlsearch.results.mirror import local_stamps
from tlsearch.results.storage import StudyDirectory
from tlsearch.search.handover import Keeper, TrialFolder, handover, trial_folder

SPACE = """
data: {{kind: digits, image_px: 32, splits: {{train: 60, validation: 70, test: 80}}}}
space: {{backbone: strokes, unfrozen_layers: [0, 15]}}
epochs: 3
trials: 2
confirm: 1
cache: {cache}
"""


def test_a_keeper_reads_what_it_wrote(tmp_path):
    keeper = Keeper(tmp_path)
    assert keeper.read(3, "resume.npz") is None
    keeper.write(3, "resume.npz", b"state")
    assert keeper.read(3, "resume.npz") == b"state"
    assert (StudyDirectory(tmp_path).trial(3) / "resume.npz").read_bytes() == b"state"


def test_where_all_nodes_share_the_directory_nothing_is_handed_over(tmp_path):
    assert handover(StudyDirectory(tmp_path)) is None
    with trial_folder(tmp_path, 3, None) as folder:
        folder.fetch("resume.npz")
        (folder.path / "log").write_text("trained here")
    assert folder.path == StudyDirectory(tmp_path).trial(3)
    assert (folder.path / "log").read_text() == "trained here"
    assert isinstance(folder, TrialFolder)


@pytest.fixture
def scratch():
    """Short: it is in the names of Ray's sockets."""
    with tempfile.TemporaryDirectory(prefix="tls-", dir="/tmp", ignore_cleanup_errors=True) as name:
        yield Path(name)


@pytest.mark.cluster
@pytest.mark.training
def test_trials_on_another_node_leave_everything_with_the_driver(tmp_path, scratch, monkeypatch):
    from ray.cluster_utils import Cluster

    from tlsearch.config.load import parse
    from tlsearch.search.study import run

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setenv("TMPDIR", str(scratch))
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    try:
        cluster.add_node(num_cpus=1)
        monkeypatch.setenv("RAY_ADDRESS", cluster.address)
        url = f"file://{tmp_path}/shared/one"
        study = run(parse(SPACE.format(cache=tmp_path / "cache")), url)
    finally:
        cluster.shutdown()
    assert study.ended_by is None
    trials = read(study.home.journal_file).trials
    assert [trial.state for trial in trials] == ["finished", "finished"]
    for trial in trials:
        files = {path.name for path in study.home.trial(trial.number).iterdir()}
        assert {"best.npz", "curves.jsonl", "log"} <= files
    assert list(study.home.trials.glob("*/confirmed-*.npz"))
    assert list(scratch.glob("tlsearch-trial-*")) == []
    assert {*local_stamps(tmp_path / "shared" / "one")} == {*local_stamps(study.home.root)}

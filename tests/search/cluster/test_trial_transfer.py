"""The files of trials that train on another node than the driver's are the driver's in the end."""

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from small_cluster import Nodes

from tlsearch.results.record.directory import StudyDirectory
from tlsearch.results.record.journal import read
from tlsearch.search.cluster.trial_transfer import Keeper, TrialFolder, handover, trial_folder

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
def test_trials_on_another_node_leave_everything_with_the_driver(tmp_path, scratch, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(scratch))
    (tmp_path / "space.yaml").write_text(SPACE.format(cache=tmp_path / "cache"))
    shared = tmp_path / "shared" / "one"
    nodes = Nodes(tmp_path, tmp_path / "nodes.log")
    try:
        nodes.add()
        command = ["tlsearch.cli.main", "run", "space.yaml", "--study", f"file://{shared}"]
        done = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=tmp_path,
            env=nodes.environment(),
            capture_output=True,
            text=True,
            timeout=200,
        )
    finally:
        nodes.close()
    assert done.returncode == 0, done.stderr
    trials = read(shared / "journal.log").trials
    assert {trial.state for trial in trials} <= {"finished", "stopped"}
    assert len(trials) == 2
    for trial in trials:
        files = {path.name for path in StudyDirectory(shared).trial(trial.number).iterdir()}
        assert {"best.npz", "predictions.npz", "curves.jsonl", "log"} <= files
    assert list(shared.glob("trials/*/confirmed-*.npz"))
    assert list(scratch.glob("tlsearch-trial-*")) == []

"""A search takes only as much of a GPU as its trials were granted."""

import pytest

from tlsearch.base.gpus import describe_gpus, limit_mib
from tlsearch.bundle.manifest import read_manifest
from tlsearch.results.record.journal import read_journal

pytestmark = [pytest.mark.gpu, pytest.mark.cluster, pytest.mark.training]

SPACE = """
data: {kind: digits, image_px: 32, splits: {train: 100, validation: 100, test: 100}}
space: {backbone: strokes, unfrozen_layers: [0, 15]}
trials: 4
epochs: 3
confirm: 0
export: [keras]
resources: {max_concurrent: 2}
"""
NOTHING_MIB = 64  # allowed for the driver itself


@pytest.mark.parametrize("share", [0, 0.25])
def test_a_search_takes_of_a_gpu_what_its_trials_were_granted(
    share, command_line, taken_mib, tmp_path
):
    (tmp_path / "space.yaml").write_text(SPACE)
    words = ("--study", "study", "--set", f"resources.gpus_per_trial={share}")
    process = command_line(tmp_path).start("run", "space.yaml", *words)
    taken, (gpu, *_) = taken_mib(process), describe_gpus()
    assert process.returncode == 0, process.stderr.read()
    trials = read_journal(tmp_path / "study" / "journal.log").trials
    assert [gpu.name in trial.machine for trial in trials] == [share > 0] * 4
    if share:
        assert limit_mib(share, gpu.mib) <= taken <= 3 * share * gpu.mib
    else:
        assert taken <= NOTHING_MIB
    (artifact,) = read_manifest(tmp_path / "study" / "best").artifacts
    assert artifact.parity <= artifact.row.tolerance

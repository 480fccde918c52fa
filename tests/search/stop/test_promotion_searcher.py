"""A real search whose trials wait at rungs, with Ray and TensorFlow, in a temporary directory."""

import time

import pytest

from tlsearch.base.errors import RecordError
from tlsearch.results.record.journal import read_journal

SPACE = """
data: {kind: digits, image_px: 32, splits: {train: 100, validation: 100, test: 100}}
space:
  backbone: strokes
  unfrozen_layers: [0, 15]
  fine_tune_lr: {low: 1e-4, high: 1e-2, log: true}
scheduler: promotion
epochs: 6
trials: 7
confirm: 0
resources: {max_concurrent: 1}
"""


@pytest.fixture
def tlsearch(command_line, tmp_path):
    (tmp_path / "space.yaml").write_text(SPACE)
    return command_line(tmp_path)


def begun(journal):
    """Return the trials so far; none before the study is written to its journal."""
    try:
        return read_journal(journal).trials
    except RecordError:
        return ()


def check(study):
    """Assert that trials ended with all their epochs, and one to four of them passed the rung."""
    trials = read_journal(study / "journal.log").trials
    assert [trial.number for trial in trials] == list(range(7))
    assert {trial.state for trial in trials} == {"finished", "stopped"}
    assert 1 <= sum(trial.epochs > 2 for trial in trials) <= 4
    for trial in trials:
        assert set(trial.values) == set(range(trial.epochs + 1))
        assert trial.seconds > 0
        assert trial.state == "finished" or "at rung 2" in trial.reason
    assert not list((study / "trials").glob("*/resume.npz"))


@pytest.mark.cluster
@pytest.mark.training
@pytest.mark.faults
def test_a_search_by_promotion_that_was_killed_ends_with_every_trial_told_once(tlsearch, tmp_path):
    process = tlsearch.start("run", "space.yaml", "--study", "study")
    journal = tmp_path / "study" / "journal.log"
    deadline = time.monotonic() + 200
    while sum(2 in trial.values for trial in begun(journal)) < 2:
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.kill()
    process.communicate(timeout=60)
    before = {t.number: dict(t.values) for t in read_journal(journal).trials}
    resumed = tlsearch.here("resume", "study")  # waits for the old workers, which live on briefly
    assert resumed.code == 0, resumed.err
    assert "rank" in resumed.out
    check(tmp_path / "study")
    for trial in read_journal(journal).trials:
        known = before.get(trial.number, {})
        assert {epoch: trial.values[epoch] for epoch in known} == known

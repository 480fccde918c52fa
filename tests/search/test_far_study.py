"""A real search by promotion whose study is in a bucket: killed, resumed elsewhere, and read by its
URL.
"""

import shutil
import time

import pytest
from far_storage import BUCKET, environment, far_storage

from tlsearch.results.record.file_names import PREDICTIONS
from tlsearch.results.record.journal import read_journal
from tlsearch.results.remote.bucket import Bucket
from tlsearch.results.remote.copies import readable_copy
from tlsearch.results.remote.differences import is_mirrored

pytestmark = [pytest.mark.cluster, pytest.mark.training]

URL = f"s3://{BUCKET}/runs/far"
TIMEOUT_S = 150.0
SPACE = """
data: {{kind: digits, image_px: 32, splits: {{train: 60, validation: 70, test: 80}}}}
space:
  backbone: strokes
  unfrozen_layers: [0, 15]
  head_lr: {{low: 1e-3, high: 1e-1, log: true}}
  fine_tune_lr: {{low: 1e-4, high: 1e-2, log: true}}
epochs: 4
scheduler: promotion
trials: 4
confirm: 0
sync_s: 0.3
resources: {{max_concurrent: 1}}
cache: {cache}
"""


@pytest.fixture
def far(monkeypatch):
    with far_storage() as found:
        for name, value in environment(found).items():
            monkeypatch.setenv(name, value)
        yield found


def wait_for_values(driver, count) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        assert driver.poll() is None, driver.communicate()
        assert time.monotonic() < deadline, "the bucket stands still"
        if "journal.log" in Bucket(URL).stamps() and values() >= count:
            return
        time.sleep(0.1)


def values() -> int:
    return Bucket(URL).read("journal.log").count(b'"intermediate_value"')


def test_a_killed_search_goes_on_from_the_bucket_on_another_machine(
    far, command_line, tmp_path, monkeypatch
):
    space = tmp_path / "space.yaml"
    space.write_text(SPACE.format(cache=tmp_path / "cache"))
    far.one_in = 10
    first = command_line(tmp_path / "first")
    driver = first.start("run", space, "--study", URL)
    wait_for_values(driver, 6)
    driver.kill()
    driver.communicate()
    before = copied(tmp_path, monkeypatch, "killed")
    shutil.rmtree(first.home)
    resumed = command_line(tmp_path / "second").here("resume", URL)
    assert resumed.code == 0, resumed.err
    assert f"report: {URL}/report" in resumed.out
    after = copied(tmp_path, monkeypatch, "ended")
    assert [trial.state in ("finished", "stopped") for trial in after] == [True] * 4
    assert 1 <= sum(trial.epochs > 2 for trial in after) < 4  # the others never passed the rung
    assert all(set(trial.values) == set(range(trial.epochs + 1)) for trial in after)
    assert all(trial.state == "finished" or "at rung 2" in trial.reason for trial in after)
    assert all(trial.seconds > 0 for trial in after)
    for then, now in zip(before, after, strict=False):
        assert now.config == then.config
        assert {epoch: now.values[epoch] for epoch in then.values} == then.values
    far.one_in = 0
    names = {*Bucket(URL).stamps()}
    assert {"best/model.keras", "report/index.html", "artifacts/winner.json"} <= names
    assert all(map(is_mirrored, names))
    assert not any(name.endswith("resume.npz") for name in names)
    third = command_line(tmp_path / "third")
    far.passed.clear()
    assert third.here("report", URL, "--format", "csv").out.count("\n") == 5
    fetched = {path.rpartition("/")[2] for _, path in far.passed}
    weights = {name for name in fetched if ".npz" in name or ".keras" in name}
    assert weights <= {PREDICTIONS}  # needed to find ties; no weights
    assert third.here("export", URL, "--out", tmp_path / "model.keras", "--no-timed").code == 0
    assert (tmp_path / "model.keras").is_file()


def copied(tmp_path, monkeypatch, name):
    """Return the trials that the bucket now holds."""
    monkeypatch.setenv("HOME", str(tmp_path / name))
    return read_journal(readable_copy(URL).journal_file).trials

"""A real search whose study is in a bucket: killed, gone on with elsewhere, read by its URL."""

import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from far_storage import BUCKET, environment, far_storage

from tlsearch.results.record.journal import read
from tlsearch.results.record.predictions import PREDICTIONS
from tlsearch.results.remote.bucket import Bucket
from tlsearch.results.remote.copies import fetched
from tlsearch.results.remote.differences import travels

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
trials: 6
confirm: 0
sync_s: 0.3
resources: {{max_concurrent: 1}}
cache: {cache}
"""


class Machine:
    """A home folder, and the commands that somebody runs there."""

    def __init__(self, home, far, **env):
        self.home = home
        self.home.mkdir()
        self.env = {**os.environ, **environment(far), "HOME": str(home), **env}

    def start(self, *words):
        command = [sys.executable, "-m", "tlsearch.cli.main", *map(str, words)]
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(command, env=self.env, cwd=self.home, **streams)

    def say(self, *words):
        """Stdout of a command that ends well."""
        process = self.start(*words)
        out, err = process.communicate(timeout=TIMEOUT_S)
        assert process.returncode == 0, err
        return out


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


def test_a_killed_search_goes_on_from_the_bucket_on_another_machine(far, tmp_path, monkeypatch):
    space = tmp_path / "space.yaml"
    space.write_text(SPACE.format(cache=tmp_path / "cache"))
    far.one_in = 10
    first = Machine(tmp_path / "first", far)
    driver = first.start("run", space, "--study", URL)
    wait_for_values(driver, 8)
    driver.send_signal(signal.SIGKILL)
    driver.communicate()
    before = copied(tmp_path, monkeypatch, "killed")
    shutil.rmtree(first.home)
    second = Machine(tmp_path / "second", far)
    out = second.say("resume", URL)
    assert f"report: {URL}/report" in out
    after = copied(tmp_path, monkeypatch, "ended")
    assert [trial.state in ("finished", "stopped") for trial in after] == [True] * 6
    for then, now in zip(before, after, strict=False):
        assert now.config == then.config
        assert {epoch: now.values[epoch] for epoch in then.values} == then.values
    far.one_in = 0
    names = {*Bucket(URL).stamps()}
    assert {"best/model.keras", "report/index.html", "artifacts/winner.json"} <= names
    assert all(map(travels, names))
    assert not any(name.endswith("resume.npz") for name in names)
    third = Machine(tmp_path / "third", far)
    far.passed.clear()
    assert third.say("report", URL, "--format", "csv").count("\n") == 7
    fetched = {path.rpartition("/")[2] for _, path in far.passed}
    weights = {name for name in fetched if ".npz" in name or ".keras" in name}
    assert weights <= {PREDICTIONS}  # by which ties are told; no weights
    third.say("export", URL, "--out", tmp_path / "model.keras", "--no-timed")
    assert (tmp_path / "model.keras").is_file()


def copied(tmp_path, monkeypatch, name):
    """The trials that the bucket tells of now."""
    monkeypatch.setenv("HOME", str(tmp_path / name))
    return read(fetched(URL).journal_file).trials

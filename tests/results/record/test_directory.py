"""The study directory: one driver at a time, and nothing overwritten."""

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tlsearch.base.errors import ConfigError, RecordError
from tlsearch.results.record.directory import StudyDirectory

CONFIG = {"name": "pets", "metric": "accuracy"}

DRIVER = """
import sys, time
from pathlib import Path
from tlsearch.results.record.directory import StudyDirectory
with StudyDirectory(Path(sys.argv[1])).locked():
    print("held", flush=True)
    time.sleep(60)
"""


def drive(home: StudyDirectory) -> None:
    with home.locked():
        pass


def test_a_second_driver_is_refused_until_the_first_is_gone_however_it_went(
    tmp_path: Path,
) -> None:
    home = StudyDirectory(tmp_path / "study")
    command = [sys.executable, "-c", DRIVER, str(home.root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "held\n"
        try:
            with pytest.raises(RecordError) as refused:
                drive(home)
        finally:
            first.send_signal(signal.SIGKILL)
        first.wait()
    assert str(refused.value) == (
        f"{home.root}: another tlsearch is running this study; wait for it or stop it"
    )
    drive(home)


def test_a_driver_that_fails_leaves_the_study_to_the_next(tmp_path: Path) -> None:
    home = StudyDirectory(tmp_path)

    def fail() -> None:
        with home.locked():
            raise RuntimeError("boom")

    with pytest.raises(RuntimeError, match="boom"):
        fail()
    drive(home)


@pytest.mark.parametrize("file", ["study.yaml", "journal.log"])
def test_an_existing_study_is_refused_with_both_ways_on(tmp_path: Path, file: str) -> None:
    home = StudyDirectory(tmp_path)
    home.refuse_existing()
    (tmp_path / file).touch()
    with pytest.raises(ConfigError) as refused:
        home.refuse_existing()
    assert str(refused.value) == (
        f"{tmp_path}: a study is already there; continue it with `tlsearch resume {tmp_path}`, "
        "or give the new one another place with --study DIR"
    )


def test_what_was_written_about_a_study_is_read_back(tmp_path: Path) -> None:
    home = StudyDirectory(tmp_path / "new")
    home.write_about({**CONFIG, "name": "1e5", "epochs": 3}, data={"classes": ["no", "cat"]})
    about = home.read_about()
    assert about["config"] == {**CONFIG, "name": "1e5", "epochs": 3}
    assert about["data"] == {"classes": ["no", "cat"]}
    assert {"python", "tlsearch", "optuna"} <= about["versions"].keys()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "no config in it"),
        (b"- a", "no config in it"),
        (b"data: {}", "no config in it"),
        (b"config: 3", "no config in it"),
        (b"config: {epochs: 3}", "no config in it"),
        (b"config: {", "study.yaml:1: "),
        (b"config: \xff", "'utf-8' codec can't decode"),
        (b"config: \x07", "study.yaml:1: damaged (found the character U+0007, expected"),
    ],
)
def test_a_damaged_study_file_says_so(tmp_path: Path, content: bytes, reason: str) -> None:
    home = StudyDirectory(tmp_path)
    home.study_file.write_bytes(content)
    with pytest.raises(RecordError) as refused:
        home.read_about()
    printed = str(refused.value)
    assert re.match(rf"{re.escape(str(home.study_file))}(:\d+)?: damaged \(", printed)
    assert reason in printed


def test_a_folder_that_is_no_study_says_so(tmp_path: Path) -> None:
    with pytest.raises(RecordError) as refused:
        StudyDirectory(tmp_path).read_about()
    assert str(refused.value) == f"{tmp_path}: not a study directory (no study.yaml in it)"


def test_trials_sort_by_their_number(tmp_path: Path) -> None:
    home = StudyDirectory(tmp_path)
    assert [home.trial(number).name for number in (2, 10)] == ["00002", "00010"]


WORKER = """
import sys, time
from pathlib import Path
from tlsearch.results.record.directory import StudyDirectory
with StudyDirectory(Path(sys.argv[1])).trial_locked(3):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


@contextlib.contextmanager
def worker(home: StudyDirectory, seconds: float) -> Iterator[subprocess.Popen[str]]:
    """Run another process that holds trial 3, until the block ends."""
    command = [sys.executable, "-c", WORKER, str(home.root), str(seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def test_a_trial_waits_for_the_worker_that_still_trains_it(tmp_path: Path) -> None:
    home = StudyDirectory(tmp_path)
    with worker(home, 0.5) as other, home.trial_locked(3, wait_s=30):
        assert other.wait(timeout=10) == 0  # it ended first


def test_a_trial_of_a_worker_that_was_killed_is_free(tmp_path: Path) -> None:
    home = StudyDirectory(tmp_path)
    with worker(home, 60) as other:
        other.send_signal(signal.SIGKILL)
        with home.trial_locked(3, wait_s=5):
            pass


def test_a_worker_that_does_not_end_is_told_of(tmp_path: Path) -> None:
    home = StudyDirectory(tmp_path)
    with worker(home, 60), pytest.raises(RecordError) as refused, home.trial_locked(3, wait_s=0.2):
        pass
    assert str(refused.value) == (
        f"{home.trial(3)}: another process is still training this trial after 0.2 s; wait for it "
        "or end it, then continue with `tlsearch resume DIR`"
    )


def test_other_trials_are_free(tmp_path: Path) -> None:
    home = StudyDirectory(tmp_path)
    with worker(home, 60), home.trial_locked(4, wait_s=0):
        pass


def test_what_is_written_again_keeps_the_versions_of_the_beginning(tmp_path: Path) -> None:
    home = StudyDirectory(tmp_path)
    home.write_about(CONFIG)
    versions = {"python": "3.11.0"}
    home.write_about({**CONFIG, "trials": 9}, versions=versions, extended=[{"after_trials": 5}])
    about = home.read_about()
    assert (about["versions"], about["extended"]) == (versions, [{"after_trials": 5}])
    assert about["config"]["trials"] == 9


def test_what_killed_writers_left_in_a_study_goes(tmp_path: Path) -> None:
    home = StudyDirectory(tmp_path / "study")
    home.write_about(CONFIG)
    left = [
        home.root / ".best.a1b2c3d4" / "bundle",
        home.report / ".index.html.a1b2c3d4",
        home.artifacts / ".data.json.a1b2c3d4",
        home.trial(3) / ".best.npz.a1b2c3d4",
    ]
    for path in left:
        path.mkdir(parents=True)
        for one in (path, path.parent):
            os.utime(one, (1e9, 1e9))
    (home.trial(3) / ".lock").write_text("")
    os.utime(home.trial(3) / ".lock", (1e9, 1e9))
    home.sweep()
    names = {path.name for path in home.root.rglob("*")}
    assert names == {"study.yaml", "report", "artifacts", "trials", "00003", ".lock"}

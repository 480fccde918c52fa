"""The driver of a study in a bucket: in sync, robust to outages, one driver at a time."""

import contextlib
import logging
import os
import shutil
import time
from pathlib import Path

import optuna
import pytest
from far_storage import BUCKET, environment, far_storage

from tlsearch.base.errors import ConfigError, RecordError, StorageError
from tlsearch.results.record.directory import StudyDirectory
from tlsearch.results.record.journal import STUDY_NAME, open_storage
from tlsearch.results.remote import bucket as bucket_module
from tlsearch.results.remote import driver, lease
from tlsearch.results.remote.bucket import Bucket
from tlsearch.results.remote.copies import fetch_file, readable_copy, work_copy
from tlsearch.results.remote.driver import upload

pytestmark = pytest.mark.cluster  # no Ray, but the server and its outages take time

CONFIG = {"name": "pets", "metric": "accuracy"}
URL = f"s3://{BUCKET}/runs/pets"
END_S = 0.3
OUTAGE_S = float(os.environ.get("TLSEARCH_OUTAGE_S", "0.3"))  # 60: a minute, as in reality


@pytest.fixture(scope="module")
def server():
    with far_storage() as found:
        yield found


@pytest.fixture
def far(server, tmp_path, monkeypatch):
    """Return the empty storage server; failed requests are repeated at once."""
    for name, value in environment(server).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(bucket_module.Bucket.__init__, "__defaults__", ((),))
    monkeypatch.setattr(driver, "PAUSE_S", 0.05)
    server.one_in, server.away = 0, False
    bucket = Bucket(URL)
    for name in bucket.stamps():
        bucket.remove(name)
    return server


def begin(home: StudyDirectory) -> None:
    home.write_about(CONFIG)
    journal = optuna.create_study(
        storage=open_storage(home.journal_file), study_name=STUDY_NAME, direction="maximize"
    )
    trial = journal.ask()
    trial.set_user_attr("config", '{"backbone": "strokes"}')
    journal.tell(trial, 0.5)
    home.trial(0).mkdir(parents=True)
    (home.trial(0) / "best.npz").write_bytes(b"weights")


def tell(home: StudyDirectory, name: str) -> None:
    with home.journal_file.open("a") as file:
        file.write(f'{{"{name}": 1}}\n')


def wait_until(true) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)


def same(home: StudyDirectory) -> bool:
    return Bucket(URL).read("journal.log") == home.journal_file.read_bytes()


def away(home: Path) -> None:
    """Simulate another machine: remove all local files."""
    shutil.rmtree(home)


def test_a_study_is_in_step_while_it_runs_and_whole_at_its_end(far):
    with driver.hold_study(URL, new=True) as work, work.mirrored(0.05):
        begin(work.home)
        wait_until(lambda: "journal.log" in Bucket(URL).stamps())
        tell(work.home, "more")
        wait_until(lambda: same(work.home))
        tell(work.home, "last")
    assert work.unsent is None
    assert same(work.home)
    assert {*Bucket(URL).stamps()} == {"study.yaml", "journal.log", "trials/00000/best.npz"}


def test_another_machine_goes_on_where_the_driver_died(far):
    with driver.hold_study(URL, new=True) as work, work.mirrored(9):
        begin(work.home)
    away(work.home.root)
    with driver.hold_study(URL, new=False) as again:
        assert again.home.read_about()["config"] == CONFIG
        assert (again.home.trial(0) / "best.npz").read_bytes() == b"weights"


def test_an_outage_is_told_once_and_caught_up_with(far, caplog):
    caplog.set_level(logging.WARNING)
    with driver.hold_study(URL, new=True) as work, work.mirrored(0.05):
        begin(work.home)
        wait_until(lambda: "journal.log" in Bucket(URL).stamps())
        far.away = True
        tell(work.home, "while it is away")
        wait_until(lambda: caplog.messages)
        time.sleep(OUTAGE_S)
        assert len(caplog.messages) == 1
        assert caplog.messages[0].startswith(
            "the storage cannot be used; the search continues, and its results are uploaded once "
            "the storage works again: s3:"
        )
        far.away = False
        wait_until(lambda: len(caplog.messages) == 2)
        assert caplog.messages[1] == f"{URL}: the storage works again; everything was uploaded"
        assert same(work.home)
    assert work.unsent is None


def test_what_could_not_be_sent_names_the_command_that_sends_it(far):
    with driver.hold_study(URL, new=True, end_s=END_S) as work, work.mirrored(9):
        begin(work.home)
        far.away = True
    assert isinstance(work.unsent, StorageError)
    assert work.unsent.exit_code == 3
    command = f"tlsearch upload {work.home.root} {URL}"
    assert str(work.unsent).endswith(f"is in {work.home.root}; send it with `{command}`")
    far.away = False
    upload(work.home.root, URL)
    assert same(work.home)


def test_a_local_copy_that_is_further_is_gone_on_with(far):
    with driver.hold_study(URL, new=True, end_s=END_S) as work, work.mirrored(9):
        begin(work.home)
    with driver.hold_study(URL, new=False, end_s=END_S) as work, work.mirrored(9):
        tell(work.home, "unsent")
        far.away = True
    far.away = False
    with driver.hold_study(URL, new=False) as work, work.mirrored(9):
        assert b"unsent" in work.home.journal_file.read_bytes()
    assert same(work.home)


def test_what_was_removed_from_the_local_copy_alone_comes_back(far):
    with driver.hold_study(URL, new=True) as work, work.mirrored(9):
        begin(work.home)
    (work.home.trial(0) / "best.npz").unlink()
    with driver.hold_study(URL, new=False) as work, work.mirrored(9):
        assert (work.home.trial(0) / "best.npz").read_bytes() == b"weights"
    assert "trials/00000/best.npz" in Bucket(URL).stamps()


def test_a_bucket_that_is_further_is_fetched(far, tmp_path, monkeypatch):
    with driver.hold_study(URL, new=True) as work, work.mirrored(9):
        begin(work.home)
    monkeypatch.setenv("HOME", str(tmp_path / "other"))
    with driver.hold_study(URL, new=False) as other, other.mirrored(9):
        tell(other.home, "elsewhere")
        (other.home.trial(0) / "best.npz").unlink()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    with driver.hold_study(URL, new=False) as work:
        assert b"elsewhere" in work.home.journal_file.read_bytes()
        assert not (work.home.trial(0) / "best.npz").exists()


def test_two_machines_that_went_on_are_not_mixed(far, tmp_path, monkeypatch):
    with driver.hold_study(URL, new=True, end_s=END_S) as work, work.mirrored(9):
        begin(work.home)
    with driver.hold_study(URL, new=False, end_s=END_S) as work, work.mirrored(9):
        tell(work.home, "here")
        far.away = True
    far.away = False
    monkeypatch.setenv("HOME", str(tmp_path / "other"))
    with driver.hold_study(URL, new=False) as other, other.mirrored(9):
        tell(other.home, "there")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    refused = "differ: two machines continued"
    with pytest.raises(RecordError, match=refused), driver.hold_study(URL, new=False):
        pass
    with pytest.raises(RecordError, match=refused):
        upload(work.home.root, URL)


def test_a_new_study_never_lies_upon_another(far, tmp_path, monkeypatch):
    with driver.hold_study(URL, new=True) as work, work.mirrored(9):
        begin(work.home)
    with pytest.raises(ConfigError, match=f"continue it with `tlsearch resume {URL}`"):
        driver.hold_study(URL, new=True).__enter__()
    for name in Bucket(URL).stamps():
        Bucket(URL).remove(name)
    with pytest.raises(ConfigError, match="the local copy of a study that is no longer at"):
        driver.hold_study(URL, new=True).__enter__()


def test_a_second_driver_is_refused_on_this_machine_and_on_another(far, tmp_path, monkeypatch):
    with driver.hold_study(URL, new=True) as work:
        begin(work.home)
        work.mirror.push()
        with pytest.raises(RecordError, match=f"{URL}: another tlsearch is running this study"):
            driver.hold_study(URL, new=False).__enter__()
        monkeypatch.setenv("HOME", str(tmp_path / "other"))
        with pytest.raises(RecordError, match=f"{URL}: another tlsearch drives this study"):
            driver.hold_study(URL, new=False).__enter__()


def take_again(thief: lease.Lease) -> None:
    """Take the lease of a living driver, whose heartbeat may have overwritten it at that moment."""
    with contextlib.suppress(RecordError):
        thief.take()


def test_a_driver_that_was_taken_over_ends_and_sends_nothing(far, caplog):
    losses = []
    with driver.hold_study(URL, new=True) as work:
        work.when_lost(losses.append)
        with work.mirrored(0.05):
            begin(work.home)
            wait_until(lambda: "journal.log" in Bucket(URL).stamps())
            thief = lease.Lease(Bucket(URL), lease.Owner("worker-7", "", 4), stale_s=-1)
            wait_until(lambda: losses or take_again(thief))
            tell(work.home, "too late")
    assert not same(work.home)
    assert "took this study over (process 4 on worker-7); the trials that ended here" in str(
        work.unsent
    )
    assert thief.holder() == thief.owner


def test_a_study_that_is_not_there_is_told(far):
    for opened in (driver.hold_study(URL, new=False).__enter__, lambda: readable_copy(URL)):
        with pytest.raises(RecordError, match=rf"^{URL}: no study there \(no study.yaml in it\)$"):
            opened()
    with pytest.raises(StorageError, match="there is no such bucket"):
        readable_copy("s3://another/one")


@pytest.mark.parametrize("name", ["study.yaml", "journal.log"])
def test_a_damaged_study_is_told_with_its_url_and_may_be_mended(far, name):
    with driver.hold_study(URL, new=True) as work, work.mirrored(9):
        begin(work.home)
    sound = Bucket(URL).read(name)
    Bucket(URL).write(name, b"\x00[not what it was\n" + sound)
    for _ in range(2):
        with pytest.raises(RecordError, match=rf"^{URL}: .*{name}(:\d+)?: .*damaged"):
            readable_copy(URL)
    Bucket(URL).write(name, sound)
    assert readable_copy(URL).read_about()["config"] == CONFIG


def test_reading_takes_what_it_needs_and_leaves_the_driver_alone(far):
    with driver.hold_study(URL, new=True) as work, work.mirrored(9):
        begin(work.home)
        work.mirror.push()
        tell(work.home, "not sent yet")
        home = readable_copy(URL)
        assert home.root != work.home.root
        assert not (home.trial(0) / "best.npz").exists()
        fetch_file(home, "trials/00000/best.npz")
        assert (home.trial(0) / "best.npz").read_bytes() == b"weights"
        assert b"not sent yet" in work.home.journal_file.read_bytes()
    assert home.location == URL


def test_a_storage_that_fails_one_request_in_ten_is_no_outage(far, caplog, monkeypatch):
    monkeypatch.setattr(bucket_module.Bucket.__init__, "__defaults__", ((0.01, 0.02, 0.05),))
    far.one_in = 10
    with driver.hold_study(URL, new=True) as work, work.mirrored(0.05):
        begin(work.home)
        for number in range(20):
            tell(work.home, str(number))
            time.sleep(0.03)
    far.one_in = 0
    assert work.unsent is None
    assert same(work.home)


def test_copies_of_other_studies_lie_elsewhere(far, monkeypatch):
    first = work_copy(URL)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://elsewhere:9000")
    assert len({first, work_copy(URL), work_copy(f"{URL}2"), work_copy("gs://studies/x")}) == 4

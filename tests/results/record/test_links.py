"""Links in a study: none is followed, neither to read nor to write."""

import shutil
from pathlib import Path

import pytest

from tlsearch.base.errors import RecordError
from tlsearch.base.links import append_only, read_plain
from tlsearch.results.rank.context import ranking_context
from tlsearch.results.rank.leaderboard import leaderboard_of
from tlsearch.results.record.directory import StudyDirectory
from tlsearch.results.record.journal import Journal, cut_incomplete_line, open_storage, read_journal
from tlsearch.results.record.predictions import load_predictions
from tlsearch.results.remote.bucket import Bucket
from tlsearch.results.remote.differences import is_mirrored
from tlsearch.results.remote.driver import upload
from tlsearch.results.remote.sync import Mirror, local_stamps
from tlsearch.results.report.page_files import Artifacts
from tlsearch.results.report.report_folder import write_report

KEPT = Path(__file__).parents[2] / "earlier_studies/finished"


@pytest.fixture
def home(tmp_path):
    (tmp_path / "study").mkdir()
    for name in ("study.yaml", "journal.log"):
        shutil.copy(KEPT / name, tmp_path / "study")
    return StudyDirectory(tmp_path / "study")


@pytest.fixture
def away(tmp_path):
    (tmp_path / "away").mkdir()
    return tmp_path / "away"


def linked(path, target, text="secret"):
    """Move a file of the study away and put a link in its place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        path.rename(target)
    else:
        target.write_text(text)
    path.symlink_to(target)


READERS = {
    "study.yaml": lambda home: home.read_about(),
    "journal.log": lambda home: read_journal(home.journal_file),
    "best/manifest.json": lambda home: ranking_context(
        read_journal(home.journal_file), home.read_about(), home.best
    ),
    "trials/00000/predictions.npz": lambda home: load_predictions(
        home.trial(0) / "predictions.npz"
    ),
    "trials/00000/curves.jsonl": lambda home: Artifacts(home).curves(0),
    "artifacts/data.json": lambda home: Artifacts(home).data(),
    "artifacts/winner.json": lambda home: Artifacts(home).winner(),
}


@pytest.mark.parametrize("name", READERS)
def test_a_file_that_is_a_link_is_not_read(home, away, name):
    linked(home.root / name, away / "there")
    with pytest.raises(RecordError, match=f"{name}: a link") as caught:
        READERS[name](home)
    assert caught.value.exit_code == 4


@pytest.mark.parametrize(
    "call", [cut_incomplete_line, open_storage, lambda path: Journal(path).note({"a": 1})]
)
def test_a_journal_that_is_a_link_is_not_written(home, away, call):
    linked(home.journal_file, away / "there")
    before = (away / "there").read_bytes()
    with pytest.raises(RecordError, match=r"journal\.log: a link"):
        call(home.journal_file)
    assert (away / "there").read_bytes() == before


FOLDERS = {
    "trials": lambda home: home.trial(0),
    "trials/00000": lambda home: home.trial(0),
    "report": lambda home: home.report,
    "best": lambda home: home.best,
    "artifacts": lambda home: Artifacts(home).data(),
    "ray": lambda home: home.ray,
}


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_that_is_a_link_is_not_entered(home, away, name):
    (home.root / name).parent.mkdir(exist_ok=True)
    (home.root / name).symlink_to(away)
    with pytest.raises(RecordError, match=f"{name}: a link"):
        FOLDERS[name](home)


@pytest.mark.parametrize("name", [".driver.lock", "trials/00000/.lock"])
def test_a_lock_that_is_a_link_is_not_opened(home, away, name):
    linked(home.root / name, away / "there")
    with pytest.raises(RecordError, match=f"{name}: a link"):
        (home.locked() if "driver" in name else home.trial_locked(0)).__enter__()
    assert (away / "there").read_text() == "secret"


def test_a_report_replaces_links_and_never_what_they_lead_to(home, away):
    linked(home.report / "leaderboard.csv", away / "precious")
    write_report(home, leaderboard_of(home))
    assert (away / "precious").read_text() == "secret"
    assert not (home.report / "leaderboard.csv").is_symlink()
    assert (home.report / "leaderboard.csv").read_text().startswith("rank,")


def test_a_log_replaces_a_link_and_goes_on_with_a_file(home, away):
    linked(home.root / "log", away / "precious")
    for line in ("one\n", "two\n"):
        with append_only(home.root / "log") as file:
            file.write(line.encode())
    assert (away / "precious").read_text() == "secret"
    assert read_plain(home.root / "log") == b"one\ntwo\n"


def test_a_study_may_itself_lie_behind_a_link(home, away):
    (away / "runs").symlink_to(home.root.parent)
    (away / "mine").symlink_to(home.root)
    for path in (away / "runs/study", away / "mine"):
        there = StudyDirectory(path)
        write_report(there, leaderboard_of(there))
    assert (home.report / "leaderboard.csv").is_file()


def test_an_upload_leaves_links_out_and_tells(home, away, caplog):
    linked(home.trial(0) / "best.npz", away / "passwd", "root:x:0")
    (away / "inner").mkdir()
    (away / "inner/key").write_text("secret")
    (home.root / "keys").symlink_to(away / "inner")
    upload(home.root, f"file://{away}/bucket")
    sent = {path.name for path in (away / "bucket").rglob("*") if path.is_file()}
    assert {"study.yaml", "journal.log"} <= sent
    assert not {"best.npz", "key"} & sent
    for name in ("trials/00000/best.npz", "keys"):
        assert f"{home.root / name}: a link, not sent" in caplog.text


def test_what_comes_from_a_bucket_stays_in_its_study(home, away):
    bucket = Bucket(f"file://{away}/bucket")
    bucket.write("trials/00000/best.npz", b"new")
    (home.root / "trials").symlink_to(away)
    with pytest.raises(RecordError, match="trials: a link"):
        Mirror(home.root, bucket).fetch()
    assert not (away / "00000").exists()


def test_a_link_in_a_shared_folder_is_not_read(away):
    bucket = Bucket(f"file://{away}/bucket")
    bucket.write("study.yaml", b"x")
    (away / "bucket/journal.log").symlink_to("/etc/passwd")
    (away / "bucket/trials").symlink_to("/etc")
    for name in ("journal.log", "trials/passwd"):
        with pytest.raises(RecordError, match="a link"):
            bucket.read(name)


@pytest.mark.parametrize("name", ["/etc/cron.d/x", "trials//x", "../x", "trials/../../x", ""])
def test_no_name_in_a_bucket_leads_out_of_the_local_copy(name):
    assert not is_mirrored(name)


def test_files_that_are_links_do_not_travel(home, away):
    linked(home.root / "artifacts/data.json", away / "there")
    assert "artifacts/data.json" not in local_stamps(home.root)

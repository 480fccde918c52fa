"""Studies given by URL on the command line: uploaded, reported, compared; and clear errors."""

import json
import subprocess
import sys

import numpy as np
import optuna
import pytest

from tlsearch.results.record.directory import StudyDirectory
from tlsearch.results.record.file_names import PREDICTIONS
from tlsearch.results.record.journal import STUDY_NAME, open_storage
from tlsearch.results.record.predictions import Predictions
from tlsearch.results.remote import bucket


@pytest.fixture
def home(study, tmp_path, monkeypatch):
    """Return a local study with one trial, in a separate home folder."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return StudyDirectory(study)


def test_a_study_that_was_sent_reads_the_same(home, invoke, tmp_path):
    url = f"file://{tmp_path}/shared/pets"
    assert invoke("upload", home.root, url) == (0, f"{url}\n", "")
    for form in ("table", "md", "csv", "json", "html"):
        code, text, _ = invoke("report", url, "--format", form)
        assert code == 0
        assert text == invoke("report", home.root, "--format", form)[1].replace(str(home.root), url)


def test_studies_here_and_there_are_compared(home, invoke, tmp_path):
    url = f"file://{tmp_path}/shared/pets"
    invoke("upload", home.root, url)
    code, text, _ = invoke("compare", home.root, url, "--format", "md")
    assert code == 0
    assert [line.split("|")[-2].strip() for line in text.splitlines()[2:]] == [str(home.root), url]


def test_trials_there_are_compared_image_by_image_too(home, invoke, tmp_path):
    journal = optuna.load_study(storage=open_storage(home.journal_file), study_name=STUDY_NAME)
    trial = journal.ask()
    trial.set_user_attr("config", json.dumps({"backbone": "photos"}))
    trial.report(0.5, 1)
    journal.tell(trial, 0.5)
    for number, right in enumerate((30, 20)):
        called = (np.arange(40) >= right).astype(int)
        Predictions(1, np.zeros(40, int), called).save(home.trial(number) / PREDICTIONS)
    url = f"file://{tmp_path}/shared/pets"
    invoke("upload", home.root, url)
    code, text, error = invoke("report", url, "--columns", "trial,p_value,tied", "--format", "csv")
    assert (code, error) == (0, "")
    leader, other = text.splitlines()[1:]
    assert leader == "0,,True"
    assert other.startswith("1,0.00195")
    assert other.endswith(",False")


def test_a_study_that_went_on_here_may_be_sent_again_and_no_older_one(home, invoke, tmp_path):
    url = f"file://{tmp_path}/shared/pets"
    older = home.journal_file.read_bytes()
    invoke("upload", home.root, url)
    optuna.load_study(storage=open_storage(home.journal_file), study_name=STUDY_NAME).ask()
    assert invoke("upload", home.root, url)[0] == 0
    home.journal_file.write_bytes(older)
    error = (
        f"error: {url}: the study there is newer than {home.root}; continue it with "
        "`tlsearch resume URL`, or upload to another URL\n"
    )
    assert invoke("upload", home.root, url) == (4, "", error)


def test_a_url_without_a_study_is_a_damaged_record(invoke, home, tmp_path):
    url = f"file://{tmp_path}/nothing"
    error = f"error: {url}: no study there (no study.yaml in it)\n"
    for words in (("report", url), ("resume", url), ("replay", url, 0), ("compare", url)):
        assert invoke(*words) == (4, "", error)


def test_a_storage_that_is_away_ends_with_its_own_code(invoke, home, monkeypatch):
    monkeypatch.setattr(bucket.Bucket.__init__, "__defaults__", ((),))
    endpoint = "http://127.0.0.1:9"
    settings = {"AWS_ENDPOINT_URL": endpoint, "AWS_ACCESS_KEY_ID": "x"}
    settings |= {"AWS_SECRET_ACCESS_KEY": "y", "AWS_EC2_METADATA_DISABLED": "true"}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    code, out, error = invoke("report", "s3://studies/pets")
    assert (code, out) == (3, "")
    assert error.startswith("error: s3://studies/pets: the storage cannot be used (")
    assert f"AWS_ENDPOINT_URL is {endpoint}" in error


def test_a_url_of_another_kind_is_a_mistake(invoke, home):
    expected = "expected s3://BUCKET/PATH, gs://BUCKET/PATH or file:///PATH"
    assert invoke("report", "ftp://host/pets") == (
        2,
        "",
        f"error: found ftp://host/pets, {expected}\n",
    )
    code, _, error = invoke("validate", "quickstart", "--set", "storage=ftp://host/runs")
    assert code == 2
    assert f"storage: found ftp://host/runs, {expected}, or a folder" in error


def test_a_bucket_as_storage_stays_a_url(invoke, home):
    text = invoke("validate", "quickstart", "--set", "storage=s3://bucket/studies/")[1]
    assert "\nstorage: s3://bucket/studies\n" in text


def test_reports_of_folders_do_not_import_what_buckets_need(home):
    code = (
        "import sys; from tlsearch.cli.main import main; main(); print('pyarrow.fs' in sys.modules)"
    )
    command = [sys.executable, "-c", code, "report", str(home.root)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"

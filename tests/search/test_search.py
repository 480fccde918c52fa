"""Real searches, through the command line, with Ray and TensorFlow, in a temporary directory."""

import http.client
import io
import json
import shutil
import signal
import socket
import time

import pytest
from PIL import Image
from sklearn.datasets import load_digits

from tlsearch.bundle.manifest import read_manifest
from tlsearch.config.catalog import Direction
from tlsearch.config.device import CPU_PROFILE
from tlsearch.results.record.journal import read_journal
from tlsearch.search.handle import Study

pytestmark = [pytest.mark.cluster, pytest.mark.training]

SPACE = """
data: {kind: digits, image_px: 32, splits: {train: 100, validation: 100, test: 100}}
space:
  backbone: strokes
  unfrozen_layers: [0, 15]
  fine_tune_lr: {low: 1e-4, high: 1e-2, log: true}
baselines:
  - {backbone: strokes, unfrozen_layers: 0, head_lr: 1e-2}
  - {backbone: strokes, unfrozen_layers: 15, fine_tune_lr: 1e-3}
epochs: 6
warm_up_lr: 1e-2
trials: 6
confirm: 0
resources: {max_concurrent: 1}
"""


@pytest.fixture(scope="module")
def shell(tmp_path_factory, command_line):
    home = tmp_path_factory.mktemp("home")
    (home / "space.yaml").write_text(SPACE)
    return command_line(home)


@pytest.fixture(scope="module")
def finished(shell):
    ran = shell("run", "space.yaml", "--study", "study", "--trials", "5")
    assert ran.code == 0, ran.err
    return ran


def test_a_search_ends_with_a_ranked_table(finished):
    verdict, _, table = finished.out.partition("\n\n")
    assert verdict.startswith("trial ")
    lines = table.splitlines()
    assert lines[0].split()[:4] == ["rank", "trial", "state", "accuracy"]
    ranks = [line.split()[0] for line in lines[2:7]]
    assert [rank.rstrip("*") for rank in ranks] == list("12345")
    assert sum(rank.endswith("*") for rank in ranks) == 1  # the winner
    assert "majority class: 0.1" in finished.out
    assert "test accuracy of trial" in finished.out


def test_its_record_is_whole(finished, shell):
    study = Study(shell.home / "study")
    record = study.record()
    assert study.about["device"] == CPU_PROFILE.to_json()
    assert "computed on: CPU in float32" in finished.out
    assert [t.number for t in record.trials] == list(range(5))
    assert {t.state for t in record.trials} <= {"finished", "stopped"}
    for trial in record.trials:
        assert set(trial.values) == set(range(trial.epochs + 1))
        assert trial.seconds > 0
        curve = shell.home / "study" / "trials" / f"{trial.number:05d}" / "curves.jsonl"
        points = [json.loads(line) for line in curve.read_text().splitlines()]
        assert {p["epoch"]: p["value"] for p in points} == trial.values


def test_the_best_trial_is_the_exported_one(finished, shell):
    study = Study(shell.home / "study")
    facts, best = study.record().facts, study.winner()
    assert facts["test"]["trial"] == best.number
    assert facts["test"]["metric"] == study.config.metric
    manifest = read_manifest(shell.home / "study" / "best")
    assert manifest.trained_accuracy == best.best(Direction.MAX)[1]
    assert [artifact.format for artifact in manifest.artifacts] == ["keras"]


def test_trials_are_compared_with_the_leader_image_by_image(finished, shell):
    paired = Study(shell.home / "study").leaderboard()["p_value"]
    assert paired.isna().tolist() == [True, False, False, False, False]
    assert paired[1:].between(0, 1).all()


def test_ray_is_quiet_and_nothing_is_left_behind(finished, shell):
    assert "ray" not in finished.err.replace("array", "").lower()
    assert not list((shell.home / "study" / "trials").glob("*/resume.npz"))


@pytest.mark.parametrize("form", ["table", "csv", "json", "md"])
def test_it_can_be_reported(finished, shell, form):
    reported = shell.here("report", "study", "--format", form)
    assert reported.code == 0, reported.err
    assert "strokes" in reported.out
    if form == "json":
        trials = json.loads(reported.out)["trials"]
        assert [t["rank"] for t in trials] == [1, 2, 3, 4, 5]
        assert (shell.home / "study" / trials[0]["log"]).is_file()


def test_a_second_run_into_it_is_refused_with_two_ways_on(finished, shell):
    again = shell.here("run", "space.yaml", "--study", "study")
    assert again.code == 2
    assert "tlsearch resume" in again.err
    assert "--study DIR" in again.err


def test_any_kept_trial_can_be_exported(finished, shell):
    number = Study(shell.home / "study").record().trials[-1].number
    done = shell.here("export", "study", "--trial", number, "--out", "other.keras")
    assert done.code == 0, done.err
    assert "keras" in done.out
    assert (shell.home / "other.keras").is_file()


def test_the_model_labels_pictures(finished, shell):
    for place, pixels in enumerate(load_digits().images[:40]):
        Image.fromarray((pixels * 15.9).astype("uint8")).save(shell.home / f"digit{place:02d}.png")
    files = sorted(shell.home.glob("digit*.png"))
    done = shell.here("predict", "study/best", *files, "--format", "json")
    assert done.code == 0, done.err
    labels = [entry["classes"][0]["label"] for entry in json.loads(done.out)]
    truth = [str(label) for label in load_digits().target[:40]]
    assert sum(a == b for a, b in zip(labels, truth, strict=True)) >= 16  # 4 by chance


def test_a_picture_that_cannot_be_read_ends_with_exit_code_3(finished, shell):
    (shell.home / "bad.png").write_bytes(b"no picture")
    done = shell.here("predict", "study/best", "bad.png")
    assert done.code == 3
    assert "bad.png: cannot be read" in done.err


def test_the_model_can_be_served_and_ends_on_ctrl_c(finished, shell):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    service = shell.start("serve", "study/best", "--port", port)
    try:
        body = io.BytesIO()
        Image.fromarray((load_digits().images[0] * 15.9).astype("uint8")).save(body, "PNG")
        classes = post(port, body.getvalue(), service)["classes"]
    finally:
        service.send_signal(signal.SIGINT)
        service.communicate(timeout=120)
    assert len(classes) == 3
    assert service.returncode in (0, 130)


def post(port, body, service):
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        assert service.poll() is None, service.stderr.read()
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            connection.request("POST", "/predict", body)
            return json.loads(connection.getresponse().read())
        except OSError:
            time.sleep(0.3)
    raise AssertionError("the service did not start")


def ended(study):
    states = ("finished", "stopped")
    return {t.number: t for t in read_journal(study / "journal.log").trials if t.state in states}


def test_a_finished_study_is_extended_in_trials_space_and_time(finished, shell):
    study = shell.home / "extended"
    shutil.copytree(shell.home / "study", study)
    before = ended(study)
    wider = "space.head_units=[none, 32]"
    more = shell.here("resume", study, "--trials", "+1", "--set", wider, "--time", "+10m")
    assert more.code == 0, more.err
    after = ended(study)
    assert sorted(after) == list(range(6))
    assert all(after[n] == trial for n, trial in before.items())
    (entry,) = Study(study).about["extended"]
    assert entry["after_trials"] == 5
    assert {"trials", "time_budget", "space.head_units"} == set(entry["changes"])
    facts = Study(study).record().facts
    assert facts["spent_s"] > 0
    assert len(facts["tests"]) in (1, 2)  # the new trial may have won
    refused = shell.here("resume", study, "--set", "seed=3")
    assert refused.code == 2
    assert "--set seed: found 3, expected 0 as the study began" in refused.err

"""The state that an actor saves of a trial, and where another one resumes; without running Ray."""

import dataclasses
import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from tlsearch.base.digests import sha256
from tlsearch.config.catalog import Direction
from tlsearch.config.dataset import Data, Splits
from tlsearch.config.networks.unfreezing import Depth
from tlsearch.config.trial_config import TrialConfig
from tlsearch.data.sources import prepare
from tlsearch.results.record.directory import StudyDirectory
from tlsearch.results.record.file_names import PREDICTIONS
from tlsearch.results.record.predictions import load_predictions
from tlsearch.search.trial import actor as module
from tlsearch.search.trial.actor import TrialActor
from tlsearch.search.trial.workplace import Workplace

pytestmark = pytest.mark.training

EPOCHS = 4


@pytest.fixture
def workplace(tmp_path):
    splits = Splits(train=40, validation=40, test=40)
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "study.yaml").write_text("")
    data = prepare(Data(kind="digits", image_px=32, splits=splits), tmp_path / "cache")
    depths = (("strokes", (Depth(0),)),)
    return Workplace(data, tmp_path / "study", tmp_path / "cache", 10**9, depths, Direction.MAX, 1)


@pytest.fixture
def begin(workplace, monkeypatch):
    """Return a function that starts a new actor, as after a death; every epoch saves its state."""
    monkeypatch.setattr(module, "RESUME_EVERY_S", 0.0)
    monkeypatch.setattr(module, "RESUME_SHARE", float("inf"))
    monkeypatch.setattr(module, "_log_to", lambda path: None)
    trial = TrialConfig(
        backbone="strokes",
        image_px=32,
        epochs=EPOCHS,
        warm_up_epochs=1,
        unfrozen_layers=10,
        fine_tune_lr=1e-3,
        dropout=0.2,
    )

    living = []

    def start(workplace=workplace, beside=False):
        if living and not beside:
            living.pop()._epochs.close()  # only frees the trial's folder, as a death does
        actor = TrialActor.__new__(TrialActor)
        actor.setup({"number": 0, "trial": trial.to_json()}, workplace)
        living.append(actor)
        return actor

    return start


def curve(workplace):
    path = workplace.study / "trials" / "00000" / "curves.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("steps", range(1, EPOCHS + 2))
def test_an_actor_killed_anywhere_leaves_a_trial_that_ends_as_it_would_have(
    begin, workplace, steps
):
    unbroken = begin()
    expected = [unbroken.step()["value"] for _ in range(EPOCHS + 1)]
    (workplace.study / "trials" / "00000" / "resume.npz").unlink()
    first = begin()
    reported = {r["epoch"]: r["value"] for r in (first.step() for _ in range(steps))}
    second = begin()
    while True:
        result = second.step()
        assert result["failure"] is None
        reported[result["epoch"]] = result["value"]
        if result["done"]:
            break
    assert [reported[epoch] for epoch in range(EPOCHS + 1)] == expected
    assert [point["epoch"] for point in curve(workplace)] == list(range(EPOCHS + 1))


@pytest.mark.parametrize("elsewhere", [True, False])
def test_a_trial_at_its_rung_goes_on_in_any_actor_while_the_first_one_lives(
    begin, workplace, monkeypatch, elsewhere
):
    unbroken = begin()
    expected = [unbroken.step()["value"] for _ in range(EPOCHS + 1)]
    (workplace.study / "trials" / "00000" / "resume.npz").unlink()
    monkeypatch.setattr(module, "RESUME_EVERY_S", float("inf"))
    there = replace(workplace, rungs=(2,))
    first = begin(there)
    values = [first.step()["value"] for _ in range(3)]
    then = begin(there, beside=True) if elsewhere else first
    values += [then.step()["value"] for _ in range(EPOCHS - 2)]
    assert values == expected
    assert [point["epoch"] for point in curve(workplace)] == list(range(EPOCHS + 1))


@pytest.mark.parametrize("damage", [b"\xff", b"{}\n", b'{"epoch": "x"}\n'])
def test_a_damaged_curve_is_never_held_against_the_trial(begin, workplace, damage):
    unbroken = begin()
    expected = [unbroken.step()["value"] for _ in range(EPOCHS + 1)]
    (workplace.study / "trials" / "00000" / "resume.npz").unlink()
    first = begin()
    for _ in range(3):
        first.step()
    path = workplace.study / "trials" / "00000" / "curves.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], damage + lines[1], *lines[2:]]))
    again = begin()
    results = [again.step()]
    while not results[-1]["done"]:
        results.append(again.step())
    assert {result["failure"] for result in results} == {None}
    assert results[-1]["value"] == expected[-1]
    assert [point["value"] for point in curve(workplace)] == expected


def test_what_the_best_epoch_predicts_is_kept_beside_its_weights(begin, workplace):
    from tlsearch.training.checkpoint import load_checkpoint

    actor = begin()
    results = [actor.step() for _ in range(EPOCHS + 1)]
    values = [result["value"] for result in results]
    home = workplace.study / "trials" / "00000"
    digests = json.loads(results[-1]["kept"])
    assert digests == {name: sha256(home / name) for name in ("best.npz", PREDICTIONS)}
    found = load_predictions(home / PREDICTIONS)
    assert found.epoch == load_checkpoint(home / "best.npz").epoch
    assert (found.true == found.predicted).mean() == values[found.epoch]
    assert found.true.tolist() == workplace.data.split_labels("validation").tolist()


def test_what_was_saved_is_never_ahead_of_what_was_reported(begin):
    actor = begin()
    reported = [actor.step()["epoch"] for _ in range(3)]
    again = begin()
    assert again.step()["epoch"] <= reported[-1]


def test_a_curve_holds_each_batch_on_request(begin, workplace):
    begin().step()
    assert "batch_losses" not in curve(workplace)[0]
    several = begin(replace(workplace, every_batch=True))
    several.step()
    several.step()
    zero, one = curve(workplace)
    for point in (zero, one):
        assert len(point["batch_losses"]) == len(point["batch_accuracies"]) == 2  # of 32 and 8
        mean = np.average(point["batch_losses"], weights=[32, 8])
        assert mean == pytest.approx(point["train_loss"], abs=1e-4)
        mean = np.average(point["batch_accuracies"], weights=[32, 8])
        assert mean == pytest.approx(point["train_accuracy"], abs=1e-4)


def test_a_torn_line_of_the_curve_is_cut(begin, workplace):
    actor = begin()
    for _ in range(3):
        actor.step()
    path = workplace.study / "trials" / "00000" / "curves.jsonl"
    path.write_text(path.read_text()[:-9])
    result = begin().step()
    assert result["failure"] is None
    assert [p["epoch"] for p in curve(workplace)] == list(range(result["epoch"] + 1))


def test_a_disk_that_takes_no_more_ends_the_study_and_blames_no_configuration(begin, monkeypatch):
    actor = begin()
    actor.step()

    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "curve_point", full)
    result = actor.step()
    assert result["fatal"]
    assert result["failure_at"] == "DiskError"
    assert str(actor.home / "curves.jsonl") in result["failure"]
    assert result["done"]
    assert "No space left on device" in result["failure"]


HOLD = """
import sys, time
from pathlib import Path
from tlsearch.results.record.directory import StudyDirectory
with StudyDirectory(Path(sys.argv[1])).trial_locked(0):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


def test_a_disk_that_is_full_before_a_trial_begins_is_a_result_and_no_lost_worker(
    begin, monkeypatch
):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "_log_to", full)
    monkeypatch.setattr(module.sys.stderr, "write", full)
    result = begin().step()
    assert result["fatal"]
    assert result["done"]
    assert "No space left on device" in result["failure"]


@pytest.fixture
def other_worker(workplace):
    """Yield a function that starts a killed driver's worker, which trains on for some seconds."""
    processes = []

    def start(seconds):
        command = [sys.executable, "-c", HOLD, str(workplace.study), str(seconds)]
        processes.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        assert processes[0].stdout.readline() == "held\n"
        return processes[0]

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def test_a_trial_begins_when_its_last_worker_has_ended(begin, other_worker):
    other = other_worker(1.0)
    actor = begin()
    assert other.poll() is None
    assert actor.step()["failure"] is None
    assert other.wait(timeout=5) == 0


def test_a_trial_that_another_worker_does_not_leave_ends_the_search(
    begin, other_worker, monkeypatch
):
    monkeypatch.setattr(StudyDirectory.trial_locked.__wrapped__, "__defaults__", (0.1,))
    other_worker(60)
    result = begin().step()
    assert result["fatal"]
    assert result["failure_at"] == "RecordError"
    assert "another process is still training this trial" in result["failure"]


@pytest.mark.parametrize("leave", ["reset_config", "save_checkpoint", "cleanup"])
def test_a_trial_is_free_once_its_actor_has_left_it(begin, workplace, leave):
    actor = begin()
    actor.step()
    another = ({"number": 1, "trial": actor.trial.to_json()},)
    getattr(actor, leave)(*{"reset_config": another, "save_checkpoint": ("",)}.get(leave, ()))
    with StudyDirectory(workplace.study).trial_locked(0, wait_s=0):
        pass


def test_a_trial_on_a_node_that_will_go_is_saved_and_its_process_ends(begin, monkeypatch):
    monkeypatch.setattr(module, "RESUME_EVERY_S", 1e9)
    monkeypatch.setattr(module.ray.actor, "exit_actor", sys.exit)
    actor = begin()
    actor.workplace = dataclasses.replace(actor.workplace, fetch=lambda images: None)
    reported = [actor.step()["epoch"] for _ in range(3)]
    monkeypatch.setattr(module, "here_is_leaving", lambda: True)
    actor._looked = 0.0
    with pytest.raises(SystemExit):
        actor.step()
    monkeypatch.setattr(module, "here_is_leaving", lambda: False)
    assert begin().step()["epoch"] == reported[-1] + 1


def test_a_trial_on_a_node_without_the_study_ends_the_search(begin, workplace):
    (workplace.study / "study.yaml").unlink()
    result = begin().step()
    assert result["fatal"]
    assert result["failure_at"] == "ClusterError"
    assert "study.yaml: no such file" in result["failure"]

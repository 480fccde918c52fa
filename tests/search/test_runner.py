"""The arguments given to Ray Tune, without running Ray."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from ray import tune

from tlsearch.base.digests import sha256
from tlsearch.config.load import parse
from tlsearch.results.record.directory import StudyDirectory
from tlsearch.results.record.journal import TrialRecord
from tlsearch.search import runner
from tlsearch.search.cluster.nodes import Node, Watch
from tlsearch.search.ending import Ending
from tlsearch.search.ongoing import Search
from tlsearch.search.propose.searcher import TruthfulSearch

SPACE = """
data: {kind: digits}
space: {backbone: [strokes, photos], unfrozen_layers: [0, 15], head_units: [none, [256, 128]]}
trials: 7
"""


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """Return the Tuner's arguments: `trainable`, `tune_config`, `run_config`."""
    seen = {}

    class Tuner:
        def __init__(self, trainable, **configs):
            seen.update(configs, trainable=trainable)

        def fit(self):
            pass

    monkeypatch.setattr(runner, "Tuner", Tuner)
    monkeypatch.setattr(tune, "with_parameters", lambda trainable, **shared: trainable)
    home = StudyDirectory(tmp_path / "study")
    home.root.mkdir()
    node = Node("here", "here", {"CPU": 3})
    monkeypatch.setattr(runner, "Watch", lambda resources: Watch(resources, lambda: [node]))
    data = SimpleNamespace(splits={"train": range(60)}, classes=("cat", "dog"))
    search = Search(parse(SPACE), home, data, Ending(), lambda event: None)
    runner.run_trials(search, lambda *ended: None)
    return SimpleNamespace(**seen)


def test_processes_serve_many_trials(asked):
    assert asked.tune_config.reuse_actors is True
    assert asked.trainable.reset_config is runner.TrialActor.reset_config


def test_nothing_is_proposed_ahead_of_results(asked):
    search = asked.tune_config.search_alg
    assert [search.suggest(f"trial {place}") is not None for place in range(5)] == [True] * 3 + [
        False
    ] * 2
    assert asked.tune_config.max_concurrent_trials is None  # stock Ray's limit cannot change later


def test_the_metric_is_said_once(asked):
    assert asked.tune_config.metric is None
    assert asked.tune_config.mode is None
    assert (asked.tune_config.search_alg.metric, asked.tune_config.search_alg.mode) == (
        "value",
        "max",
    )


def test_losers_leave_no_snapshots(asked):
    assert not asked.run_config.checkpoint_config.checkpoint_at_end
    assert asked.run_config.checkpoint_config.checkpoint_frequency == 0
    actor = SimpleNamespace(_end=lambda: None)
    assert runner.TrialActor.save_checkpoint(actor, "somewhere") is None


def test_a_lost_worker_is_left_to_the_searcher_which_says_the_end_too(asked):
    assert asked.run_config.failure_config.max_failures == 0
    assert asked.tune_config.num_samples == -1


def test_folders_of_trials_are_named_by_number_not_by_parameters(asked, tmp_path):
    searcher = TruthfulSearch(parse(SPACE), tmp_path / "journal.log", lambda *ended: None)
    name = asked.tune_config.trial_dirname_creator
    for _ in range(3):
        config = searcher.suggest("ab12cd34")
        assert name(SimpleNamespace(config=config, trial_id="ab12cd34")) == (
            f"{config['number']:05d}-ab12cd34"
        )


@pytest.mark.parametrize(("saved", "kept"), [(0, True), (2, True), (3, False)])
def test_no_trial_is_taken_up_beyond_what_the_journal_knows(tmp_path, saved, kept):
    home, trial = (
        StudyDirectory(tmp_path),
        TrialRecord(0, "unfinished", {}, {0: 0.1, 1: 0.2, 2: 0.3}),
    )
    home.trial(0).mkdir(parents=True)
    np.savez(home.trial(0) / "resume.npz", about=np.array(json.dumps({"epoch": saved})))
    runner.drop_unrecorded_states(home, [trial])
    assert (home.trial(0) / "resume.npz").exists() == kept


def checkpoint(path, epoch):
    np.savez(path, about=np.array(json.dumps({"epoch": epoch})))
    return sha256(path)


@pytest.mark.parametrize(
    ("recorded", "epoch", "goes_on"),
    [
        ("as it is", 2, True),
        (None, 2, True),  # written by an earlier version
        ("other", 3, True),  # not in the journal yet
        ("other", 2, False),
        ("other", None, False),  # damaged
        ("gone", 2, False),
    ],
)
def test_a_trial_beside_other_weights_than_recorded_starts_over(
    tmp_path, caplog, recorded, epoch, goes_on
):
    home, values = StudyDirectory(tmp_path), {0: 0.1, 1: 0.2, 2: 0.3}
    home.trial(0).mkdir(parents=True)
    checkpoint(home.trial(0) / "resume.npz", 1)
    best = home.trial(0) / "best.npz"
    found = checkpoint(best, epoch)
    if recorded == "gone":
        best.unlink()
    kept = {} if recorded is None else {"best.npz": found if recorded == "as it is" else "0" * 64}
    runner.drop_unrecorded_states(home, [TrialRecord(0, "unfinished", {}, values, kept=kept)])
    assert (home.trial(0) / "resume.npz").exists() is goes_on
    assert ("starts over" in caplog.text) is not goes_on


def test_a_damaged_resume_state_is_left_to_its_actor(tmp_path):
    home = StudyDirectory(tmp_path)
    home.trial(0).mkdir(parents=True)
    (home.trial(0) / "resume.npz").write_bytes(b"PK torn")
    runner.drop_unrecorded_states(home, [TrialRecord(0, "unfinished", {}, {})])
    assert (home.trial(0) / "resume.npz").exists()

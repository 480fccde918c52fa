"""Kept weights are used only if they are those that the journal recorded."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from tlsearch.base.digests import sha256
from tlsearch.base.errors import RecordError
from tlsearch.config.augmentation import Augment
from tlsearch.config.catalog import Direction
from tlsearch.config.load import parse
from tlsearch.config.trial_config import TrialConfig
from tlsearch.results.rank.confirmation import Run, Winner, recorded_digest, winner
from tlsearch.results.record.directory import StudyDirectory
from tlsearch.results.record.journal import StudyRecord, TrialRecord
from tlsearch.search.ending import Ending
from tlsearch.search.ongoing import Search
from tlsearch.search.winner import confirm as confirm_module
from tlsearch.search.winner.finish import require_kept

SEED = 5


@pytest.fixture
def home(tmp_path):
    return StudyDirectory(tmp_path)


def weights(home, number, name="best.npz", value=0.0, epoch=2):
    path = home.trial(number) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, about=np.array(json.dumps({"epoch": epoch})), w=np.full(4, value))
    return path


def record(*digests, state="finished", runs=()):
    config = TrialConfig(backbone="strokes", head_lr=1e-3).to_json()
    trials = [
        TrialRecord(
            *(n, state, config, {1: 0.1, 2: 0.9}),
            seconds=3.0,
            kept={"best.npz": digest} if digest else {},
        )
        for n, digest in enumerate(digests)
    ]
    return StudyRecord(
        Direction.MAX, tuple(trials), {"confirmation": [run.to_json() for run in runs]}
    )


def test_weights_of_another_trial_are_refused_with_file_trial_and_digests(home):
    first, second = (weights(home, n, value=n) for n in (0, 1))
    found = record(sha256(first), sha256(second))
    for number in (0, 1):
        require_kept(home, found, Winner(number))
    first.write_bytes(second.read_bytes())
    with pytest.raises(RecordError) as caught:
        require_kept(home, found, Winner(0))
    digests = found.trials[0].kept["best.npz"][:12], found.trials[1].kept["best.npz"][:12]
    assert caught.value.exit_code == 4
    for part in (str(first), "trial 0", *digests):
        assert part in str(caught.value)


def test_an_earlier_study_holds_no_digest_and_its_weights_are_taken(home):
    weights(home, 0)
    require_kept(home, record(None), Winner(0))


def test_weights_of_a_trial_at_work_may_be_ahead_of_the_journal_and_no_more(home):
    found = record("0" * 64, state="unfinished")
    weights(home, 0, epoch=3)
    require_kept(home, found, Winner(0))
    weights(home, 0, epoch=2)
    with pytest.raises(RecordError, match="not the file that the journal recorded"):
        require_kept(home, found, Winner(0))


def test_weights_that_are_a_link_are_refused(home, tmp_path):
    path = weights(home, 0)
    path.rename(tmp_path / "away.npz")
    path.symlink_to(tmp_path / "away.npz")
    with pytest.raises(RecordError, match=r"best\.npz: a link"):
        require_kept(home, record(None), Winner(0))


def test_a_confirming_run_has_the_digest_of_its_own_weights(home):
    run = Run(0, SEED, 0.9, 2, 1.0, sha256="1" * 64)
    found = record("0" * 64, runs=[run])
    won = winner(found)
    assert won.weights == run.weights
    assert recorded_digest(found, won) == "1" * 64
    before = {name: value for name, value in run.to_json().items() if name != "sha256"}
    assert Run(**before).sha256 is None  # as an earlier version wrote it


def test_no_run_is_refined_from_other_weights(home, monkeypatch):
    run = Run(0, SEED, 0.9, 2, 1.0)
    path = weights(home, 0, run.weights)
    noted = Run(0, SEED, 0.9, 2, 1.0, sha256=sha256(path))
    monkeypatch.setattr(Search, "record", lambda search: record(None, runs=[noted]))
    monkeypatch.setattr(confirm_module, "share_s", lambda *asked: 1e6)
    text = "data: {kind: digits}\nspace: {backbone: strokes}\nepochs: 9\nconfirm: 2"
    config = parse(text).model_copy(update={"augment": Augment(flip="horizontal")})
    data = SimpleNamespace(splits={"train": [0], "validation": [0]})
    ending = Ending()
    search = Search(config, home, data, ending, print)
    assert confirm_module._planned_refinement(search).start == path
    weights(home, 0, run.weights, value=1.0)
    with pytest.raises(RecordError, match="recorded for trial 0"):
        confirm_module._planned_refinement(search)

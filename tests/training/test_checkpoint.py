import json

import numpy as np
import pytest

from tlsearch.base.errors import RecordError
from tlsearch.training.checkpoint import Checkpoint, load_checkpoint

pytestmark = pytest.mark.training


@pytest.fixture
def checkpoint(small_trial):
    arrays = {"model/a/0": np.arange(6.0).reshape(2, 3), "optimizer/0": np.array(7)}
    return Checkpoint(small_trial(20), 4, arrays, "digest")


def test_it_reads_back_as_it_was_written(checkpoint, tmp_path):
    checkpoint.save(tmp_path / "x.npz")
    again = load_checkpoint(tmp_path / "x.npz")
    assert (again.trial, again.epoch, again.network) == (checkpoint.trial, 4, "digest")
    assert again.arrays.keys() == checkpoint.arrays.keys()
    np.testing.assert_array_equal(again.arrays["model/a/0"], checkpoint.arrays["model/a/0"])


def test_weights_alone_leave_the_optimizer_out(checkpoint, tmp_path):
    checkpoint.save(tmp_path / "x.npz", weights_only=True)
    assert set(load_checkpoint(tmp_path / "x.npz").arrays) == {"model/a/0"}


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.99])
def test_a_truncated_file_is_named(checkpoint, tmp_path, share):
    path = tmp_path / "x.npz"
    checkpoint.save(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(RecordError, match=r"x\.npz: not a checkpoint, or damaged"):
        load_checkpoint(path)


@pytest.mark.parametrize("about", [3, [], {"trial": 3, "epoch": 1}, {"trial": {}, "epoch": None}])
def test_notes_of_another_shape_are_damage(tmp_path, about):
    np.savez(tmp_path / "x.npz", about=np.array(json.dumps(about)))
    with pytest.raises(RecordError, match=r"x\.npz: not a checkpoint, or damaged"):
        load_checkpoint(tmp_path / "x.npz")


def test_a_checkpoint_of_an_earlier_version_is_read(checkpoint, tmp_path):
    about = {"trial": checkpoint.trial.to_json(), "epoch": 4}
    np.savez(tmp_path / "x.npz", about=np.array(json.dumps(about)))
    assert load_checkpoint(tmp_path / "x.npz").network is None


def test_a_pickle_is_never_loaded(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, about=np.array({"trial": 1}, dtype=object))
    with pytest.raises(RecordError, match="not a checkpoint, or damaged"):
        load_checkpoint(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(RecordError, match="weights were not kept"):
        load_checkpoint(tmp_path / "none.npz")

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from tlsearch.base.errors import OutOfMemoryError
from tlsearch.config.augmentation import Augment
from tlsearch.config.device import CPU_PROFILE
from tlsearch.config.networks.unfreezing import Depth
from tlsearch.data.sources import Rows
from tlsearch.training.epoch.executor import Executor, LruCache, as_tensor, out_of_memory
from tlsearch.training.epoch.loop import Loop
from tlsearch.training.trial import train

pytestmark = pytest.mark.training


NO_ROOM = tf.errors.ResourceExhaustedError(None, None, "no room for a tensor")
# TensorFlow's errors when a GPU lacks memory for a copy of rows, for cuDNN, and for an XLA program,
# from the documentation of each kind and from user reports.
OF_A_GPU = (
    "Failed copying input tensor from CPU:0 to GPU:0: Dst tensor is not initialized.",
    "CUDNN_STATUS_ALLOC_FAILED in external/local_xla/xla/stream_executor/cuda/cuda_dnn.cc(2180)",
    "RESOURCE_EXHAUSTED: Out of memory while trying to allocate 19327352832 bytes.",
)


def test_a_new_trial_of_a_known_shape_traces_nothing(small_trial, digits, store):
    executor = Executor((("strokes", tuple(map(Depth, (0, 20)))),))
    for unfrozen in (0, 20):
        rate = "head_lr" if unfrozen == 0 else "fine_tune_lr"
        list(train(small_trial(unfrozen, batch_size=16), digits, store, None, executor))
        before = graphs(executor)
        other = {rate: 3e-4, "dropout": 0.0, "weight_decay": 0.01, "label_smoothing": 0.1}
        list(train(small_trial(unfrozen, batch_size=24, **other), digits, store, None, executor))
        assert graphs(executor) == before


def graphs(executor):
    loops = executor._loops.values()
    found = [graph for loop in loops for graph in (*loop._trainings.values(), loop._predict)]
    return len(loops), sum(graph.experimental_get_tracing_count() for graph in found)


def test_a_second_trial_of_a_shape_equals_one_in_a_fresh_process(small_trial, digits, store):
    executor = Executor()
    list(train(small_trial(20, fine_tune_lr=1e-2, dropout=0.7), digits, store, None, executor))
    again = list(train(small_trial(20), digits, store, None, executor))
    fresh = list(train(small_trial(20), digits, store, None, Executor()))
    assert [r.train_loss for r in again] == [r.train_loss for r in fresh][:1] + [
        pytest.approx(r.train_loss, rel=1e-6) for r in fresh[1:]
    ]


def test_a_warm_up_serves_every_trial_with_its_head_and_seed(small_trial, digits, store):
    executor, done = Executor(), []
    for trial in (small_trial(0), small_trial(20, dropout=0.6), small_trial(20, head_units=(4,))):
        next(train(trial, digits, store, None, executor))
        done.append(len(executor.warm_ups._values))
    assert done == [1, 1, 2]


def test_a_trial_equals_one_whose_warm_up_was_done_before(small_trial, digits, store):
    settings = {"weight_decay": 0.5, "label_smoothing": 0.3, "optimizer": "adam"}
    executor, trial = Executor(), small_trial(0, **settings)
    first, second = (list(train(trial, digits, store, None, executor)) for _ in range(2))
    assert [r.train_loss for r in first] == [r.train_loss for r in second]
    assert [r.validation_loss for r in first] == [r.validation_loss for r in second]


def test_what_does_not_fit_gives_up_the_least_recently_used():
    recent = LruCache(10)
    made = []

    def make(name):
        return lambda: made.append(name) or name

    for name in ("a", "b", "a", "c", "b"):
        recent.get(name, make(name), size=5)
    assert made == ["a", "b", "c", "b"]


@pytest.fixture
def memory(monkeypatch):
    """Make training run out of memory when a step is split into fewer than this many pieces."""
    original = Loop.train

    def limit(pieces, from_epoch=0, error=NO_ROOM):
        calls = []

        def train_or_fail(self, *arguments):
            calls.append(self._pieces)
            if self._pieces < pieces and len(calls) > from_epoch:
                raise error
            return original(self, *arguments)

        monkeypatch.setattr(Loop, "train", train_or_fail)

    return limit


@pytest.mark.parametrize("sound", [0, 1])
def test_a_trial_without_memory_is_retried_once_in_halves(
    small_trial, digits, store, memory, sound
):
    trial, executor = small_trial(20, warm_up_epochs=0, dropout=0.0, epochs=2), Executor()
    whole = list(train(trial, digits, store, None, executor))
    memory(2, from_epoch=sound)
    halves = list(train(trial, digits, store, None, executor))
    assert [r.epoch for r in halves] == [0, 1, 2]
    np.testing.assert_allclose(
        [r.validation_loss for r in halves], [r.validation_loss for r in whole], rtol=1e-3
    )


@pytest.mark.parametrize("message", OF_A_GPU)
def test_a_gpu_without_memory_is_told_from_other_errors(message):
    assert out_of_memory(NO_ROOM)
    assert out_of_memory(tf.errors.InternalError(None, None, message))
    assert not out_of_memory(tf.errors.InternalError(None, None, "cuDNN launch failure"))
    assert not out_of_memory(RuntimeError(message))


def test_a_trial_whose_rows_do_not_fit_on_the_gpu_is_not_blamed(
    small_trial, digits, store, memory, caplog
):
    memory(2, error=tf.errors.InternalError(None, None, OF_A_GPU[0]))
    trial = small_trial(0, warm_up_epochs=0, epochs=1)
    assert [r.epoch for r in train(trial, digits, store, None, Executor())] == [0, 1]
    assert caplog.text.count("out of memory (Failed copying") == 2  # then split into halves


def test_an_error_of_another_kind_ends_the_trial(small_trial, digits, store, memory):
    memory(2, error=tf.errors.InternalError(None, None, "a kernel failed"))
    with pytest.raises(tf.errors.InternalError, match="a kernel failed"):
        list(train(small_trial(0, warm_up_epochs=0), digits, store, None, Executor()))


def test_what_is_kept_of_other_trials_is_given_up_before_steps_are_halved(
    small_trial, digits, store, monkeypatch, caplog
):
    trial, alone, executor = small_trial(20, warm_up_epochs=0), Executor(), Executor()
    expected = [r.train_loss for r in train(trial, digits, store, None, alone)]
    room, pieces, original = alone.held_bytes(), [], Loop.train
    list(train(small_trial("all", epochs=1, head_units=(8,)), digits, store, None, executor))

    def train_or_fail(self, *arguments):
        pieces.append(self._pieces)
        if executor.held_bytes() > room:
            raise tf.errors.ResourceExhaustedError(None, None, "no room for a tensor")
        return original(self, *arguments)

    monkeypatch.setattr(Loop, "train", train_or_fail)
    found = [r.train_loss for r in train(trial, digits, store, None, executor)]
    assert found == pytest.approx(expected, nan_ok=True)
    assert pieces == [1] * 4  # the first one failed
    assert "out of memory (no room for a tensor): freed" in caplog.text
    assert "MB that were kept for later trials" in caplog.text


@pytest.mark.parametrize("kind", ["mapped", "evicted", "rows", "array"])
def test_rows_in_memory_are_those_of_the_array_and_a_mapped_one_takes_none(tmp_path, kind):
    array = np.random.default_rng(0).normal(size=(100, 7)).astype(np.float16)
    np.save(tmp_path / "a.npy", array)
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    order = np.arange(100)[::-1]
    if kind == "evicted":
        (tmp_path / "a.npy").unlink()
    rows = {"rows": Rows(mapped, order), "array": array}.get(kind, mapped)
    tensor = as_tensor(rows)
    assert tensor.dtype == tf.float16
    np.testing.assert_array_equal(tensor, array[order] if kind == "rows" else array)
    np.testing.assert_array_equal(tf.gather(tensor, [5, 99]), rows[np.array([5, 99])])
    if kind == "mapped":  # a change in the file then appears in the tensor
        np.load(tmp_path / "a.npy", mmap_mode="r+")[3, 3] = 9
        assert tensor.numpy()[3, 3] == 9


def test_slots_of_optimizers_count_as_held(small_trial, digits, store):
    held, settings = [], {"warm_up_epochs": 0, "epochs": 1}
    for name in ("sgd", "adam"):  # one slot per trained number, or two
        executor = Executor()
        (*_, last) = train(
            small_trial(20, optimizer=name, **settings), digits, store, None, executor
        )
        held.append(executor.held_bytes())
    assert held[1] - held[0] == 4 * last.trained_parameters
    assert executor.release_all() == held[1]
    assert executor.held_bytes() == 0


def test_a_trial_without_memory_for_halves_says_so(small_trial, digits, store, memory):
    memory(3)
    trial = small_trial(0, warm_up_epochs=0)
    with pytest.raises(OutOfMemoryError) as failed:
        list(train(trial, digits, store, None, Executor()))
    assert str(failed.value) == (
        f"out of memory at batch_size {trial.batch_size}, even with the batch split in two and "
        f"nothing kept from other trials ({NO_ROOM}); choose a smaller batch_size, image_px or "
        "backbone"
    )


def test_in_a_device_s_memory_stay_the_first_views_of_a_trial_that_fit(small_trial):
    """With the last views, no view would be found again, because views are used in turn."""
    device = replace(CPU_PROFILE, kind="gpu", resident_bytes=250)
    executor, views = Executor((), device), [np.full((25, 4), v, np.uint8) for v in range(4)]

    def taken():
        executor.network(small_trial(20), 10)  # begins a trial
        return [executor.hold(view, views[view]) for view in (0, 1, 2, 3, 0, 1, 2, 3)]

    first, again = taken(), taken()
    assert all(one is other for one, other in zip(first, again, strict=True))
    assert [tf.is_tensor(rows) for rows in first] == [True, True, False, False] * 2


def test_a_view_of_resident_images_is_made_of_them_and_is_the_same(small_trial, digits, store):
    turned = {"augment": Augment(rotate=0.1), "views": 2, "warm_up_epochs": 0, "epochs": 2}
    trial, losses = small_trial("all", **turned), []
    for kind in ("cpu", "gpu"):
        executor = Executor((), replace(CPU_PROFILE, kind=kind))
        losses.append([r.train_loss for r in train(trial, digits, store, None, executor)][1:])
        held = [key for key in executor._resident._values if key.view == "" and key.cut == "images"]
    assert losses[0] == losses[1]
    assert len(held) == 2  # the training images, shared by both views, and the validation images

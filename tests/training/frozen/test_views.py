import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlsearch.config.augmentation import AUGMENTATIONS, Augment
from tlsearch.config.networks.unfreezing import Depth
from tlsearch.features import FeatureStore
from tlsearch.training.epoch.executor import Executor
from tlsearch.training.frozen import views
from tlsearch.training.frozen.views import View, draw, transforms
from tlsearch.training.trial import train

pytestmark = pytest.mark.training

STRONG = Augment(**AUGMENTATIONS["strong"])


def test_a_view_of_an_image_does_not_depend_on_its_batch(digits):
    view = View(digits.images("train"), STRONG, 3, 1)
    whole = view[:]
    few = np.array([5, 2, 40])
    np.testing.assert_array_equal(view[few], whole[few])
    np.testing.assert_array_equal(view[7:9], whole[7:9])


def test_views_and_seeds_differ_and_repeat(digits):
    images = digits.images("train")
    one = View(images, STRONG, 3, 1)[:]
    np.testing.assert_array_equal(one, View(images, STRONG, 3, 1)[:])
    assert not np.array_equal(one, View(images, STRONG, 3, 2)[:])
    assert not np.array_equal(one, View(images, STRONG, 4, 1)[:])


def test_draws_of_a_seed_are_what_they_always_were():
    """Cached features of augmented views depend on them; see `DRAWN`."""
    drawn = draw(STRONG, 7, 1000)
    numbers = b"".join(drawn[kind].tobytes() for kind in sorted(drawn))
    assert hashlib.blake2b(numbers, digest_size=8).hexdigest() == "d467894cfb9ff831"


@given(st.integers(0, 2**31 - 1), st.integers(1, 300), st.data())
def test_draws_of_a_slice_are_the_slice_of_the_draws(seed, count, data):
    start = data.draw(st.integers(0, count))
    stop = data.draw(st.integers(start, count))
    whole, part = draw(STRONG, seed, count), draw(STRONG, seed, count, start, stop)
    assert whole.keys() == part.keys()
    assert all(np.array_equal(whole[kind][start:stop], part[kind]) for kind in whole)


@pytest.mark.parametrize("shard", [7, 128])
def test_views_in_shards_or_in_any_order_are_drawn_in_linear_time(monkeypatch, shard):
    drawn = []

    def counted(augment, seed, count, start=0, stop=None):
        drawn.append(len(range(count)[start:stop]))
        return draw(augment, seed, count, start, stop)

    monkeypatch.setattr(views, "draw", counted)
    images = np.zeros((300, 2, 2, 3), np.uint8)
    view = View(images, STRONG, 3, 1)
    for start in range(0, 300, shard):
        view[start : start + shard]
    assert sum(drawn) == 300
    drawn.clear()
    order = np.random.default_rng(0).permutation(300)
    for start in range(0, 300, shard):
        view[order[start : start + shard]]
    assert sum(drawn) == 300


def test_nothing_drawn_is_nothing_done(digits):
    images = digits.images("train")
    np.testing.assert_array_equal(View(images, Augment(), 0, 0)[:], images[:])


@pytest.mark.parametrize(("flip", "axis"), [("horizontal", 2), ("vertical", 1)])
def test_a_flip_is_a_flip(digits, flip, axis):
    images = digits.images("train")
    drawn = draw(Augment(flip=flip), 0, len(images))
    shown, rows = View(images, Augment(flip=flip), 0, 0)[:], images[:]
    same = [np.array_equal(a, b) for a, b in zip(shown, rows, strict=True)]
    flipped = [np.array_equal(a, b) for a, b in zip(shown, np.flip(rows, axis), strict=True)]
    assert all(a or b for a, b in zip(same, flipped, strict=True))
    assert 0.25 < np.mean(flipped) < 0.75
    assert set(drawn[flip]) == {-1.0, 1.0}


def test_a_quarter_turn_is_a_quarter_turn():
    drawn = {name: np.zeros(1, np.float32) for name in draw(Augment(), 0, 1)}
    drawn |= {"horizontal": np.ones(1), "vertical": np.ones(1), "rotate": np.array([0.25])}
    a, b, right, c, d, below, *_ = transforms(drawn, 9, 9)[0]
    corner = (a * 0 + b * 0 + right, c * 0 + d * 0 + below)
    np.testing.assert_allclose(corner, (8, 0), atol=1e-5)


def test_brightness_and_contrast_stay_within_the_range(digits):
    shown = View(digits.images("train"), Augment(contrast=0.9, brightness=0.9), 0, 0)[:]
    assert shown.dtype == np.uint8
    assert shown.shape == digits.images("train").shape
    assert shown.max() > 200


@pytest.mark.parametrize("unfrozen", [0, 20])
def test_views_are_taken_in_turn_and_shared_by_trials(small_trial, digits, tmp_path, unfrozen):
    trial = small_trial(unfrozen, augment=STRONG, views=2, epochs=4)
    store, executor = (
        FeatureStore(tmp_path, "float32"),
        Executor((("strokes", tuple(map(Depth, (0, 20)))),)),
    )
    list(train(trial, digits, store, None, executor))
    files = len(list(tmp_path.rglob("*.npy")))
    reports = list(train(small_trial(20 - unfrozen, augment=STRONG, views=2), digits, store))
    assert reports[-1].epoch == 3
    assert files == len(list(tmp_path.rglob("*.npy"))) == 2 * 3  # (pool, cut) x (two views, clean)


def test_a_cached_view_trains_as_an_uncached_one(small_trial, digits, tmp_path):
    trial = small_trial(20, augment=STRONG, views=2)
    losses = [
        [r.train_loss for r in train(trial, digits, FeatureStore(tmp_path, "float32", size))]
        for size in (None, 0)
    ]
    np.testing.assert_allclose(losses[0], losses[1], atol=1e-3)


def test_online_every_epoch_sees_a_view_of_its_own(small_trial):
    trial = small_trial(20, augment=STRONG, views=0)
    assert [trial.view(epoch) for epoch in range(4)] == [0, 1, 2, 3]
    assert [small_trial(20, augment=STRONG, views=2).view(e) for e in range(4)] == [0, 1, 0, 1]
    assert small_trial(20).view(3) is None

from dataclasses import replace

import numpy as np
import pytest

from tlsearch.config.augmentation import Augment
from tlsearch.config.device import CPU_PROFILE
from tlsearch.config.networks.unfreezing import Depth
from tlsearch.features import Disk, FeatureStore, TooLargeError
from tlsearch.training.epoch.executor import Executor
from tlsearch.training.frozen.computed_rows import Computed
from tlsearch.training.frozen.prefix import Features
from tlsearch.training.frozen.views import View
from tlsearch.training.trial import train

pytestmark = pytest.mark.training


@pytest.fixture
def off(cache):
    return FeatureStore(cache, "float32", budget_bytes=0)


@pytest.mark.parametrize("unfrozen", [0, 20])  # with "all", only the warm-up is cached, as with 0
def test_a_cached_trial_is_the_uncached_one(small_trial, digits, store, off, unfrozen, outcomes):
    trial = small_trial(unfrozen)
    cached, uncached = (
        outcomes(train(trial, digits, kept, None, Executor())) for kept in (store, off)
    )
    np.testing.assert_allclose(cached, uncached, atol=1e-3)


def test_half_precision_ranks_twelve_trials_as_single_precision_does(small_trial, digits, cache):
    rates = (1e-4, 5e-4, 1e-3, 3e-3)  # above, chaotic training amplifies any rounding
    trials = [
        small_trial(n, epochs=2, **{"head_lr" if n == 0 else "fine_tune_lr": rate})
        for n in (0, 15, 40)
        for rate in rates
    ]
    executor, orders = Executor((("strokes", tuple(map(Depth, (0, 15, 40)))),)), []
    for dtype in ("float16", "float32"):
        store = FeatureStore(cache, dtype)
        losses = [list(train(t, digits, store, None, executor))[-1].validation_loss for t in trials]
        orders.append(np.argsort(losses).tolist())
    assert orders[0] == orders[1]


def features(trial, digits, store, cuts=()):
    executor = Executor(((trial.backbone, tuple(map(Depth, cuts))),))
    backbone = executor.network(trial, 10).backbone
    return Features(trial, backbone, digits, store, executor)


@pytest.mark.parametrize(
    ("device", "precision", "expected"),
    [
        (CPU_PROFILE, "float32", ""),
        (replace(CPU_PROFILE, resident_bytes=1, shard_rows=512), "float32", ""),
        (replace(CPU_PROFILE, jit=("strokes",)), "float32", "xla"),
        (replace(CPU_PROFILE, pass_rows=(("strokes", 64),)), "tf32", "tf32 64 rows"),
        (CPU_PROFILE, "mixed_bfloat16", "mixed_bfloat16"),
    ],
)
def test_the_key_of_features_says_what_of_the_device_their_bits_depend_on(
    small_trial, digits, store, device, precision, expected
):
    backbone = Executor().network(small_trial(20), 10).backbone
    trial, plain = small_trial(20, precision=precision), small_trial(20)
    found, before = (
        Features(one, backbone, digits, store, Executor((), on)).key("pool", "train", None)
        for one, on in ((trial, device), (plain, CPU_PROFILE))
    )
    assert found.device == expected
    assert (found.name == before.name) == (expected == "")


def test_one_pass_yields_every_cut_that_the_study_asks_for(small_trial, digits, tmp_path):
    store, cuts = FeatureStore(tmp_path, "float16"), (0, 15, 40)
    first = features(small_trial(15), digits, store, cuts)
    first.at_cut("train")
    assert first.multiply_adds > 0
    for unfrozen in cuts:
        other = features(small_trial(unfrozen), digits, store, cuts)
        other.at_cut("train")
        other.pooled("train")
        assert other.multiply_adds == 0


def test_features_are_those_of_the_backbone_at_rest(small_trial, digits, store):
    """Stochastic depth and dropout of a frozen network are off, as in its own inference."""
    trial = small_trial(30, backbone="efficientnet_b0", weights="none")
    found = features(trial, digits, store)
    network = Executor().network(trial, 10)
    shown = network.backbone.preprocess(digits.images("validation")[:].astype(np.float32))
    expected = network.sections.prefix(shown, training=False)
    np.testing.assert_allclose(found.at_cut("validation"), expected, rtol=1e-3, atol=1e-4)


def test_an_earlier_trial_of_the_process_does_not_reach_the_features(small_trial, digits, tmp_path):
    executor = Executor()
    clean = features(small_trial(20), digits, FeatureStore(tmp_path / "a", "float32"))
    list(train(small_trial("all", fine_tune_lr=1e-2), digits, FeatureStore(tmp_path, "float32")))
    later = Features(
        small_trial(20),
        executor.network(small_trial("all"), 10).backbone,
        digits,
        FeatureStore(tmp_path / "b", "float32"),
        executor,
    )
    np.testing.assert_array_equal(clean.at_cut("train"), later.at_cut("train"))


def test_a_cut_that_is_cheaper_to_compute_than_to_read_is_not_kept(
    small_trial, digits, tmp_path, monkeypatch
):
    monkeypatch.setattr(FeatureStore, "measure_disk", lambda self: Disk(write_s=1.0, read_s=1.0))
    trial, store = small_trial(20), FeatureStore(tmp_path, "float32")
    own = features(trial, digits, store)
    assert not isinstance(own.at_cut("train"), np.ndarray)
    assert isinstance(own._at("pool", "train", None), np.ndarray)
    kept = features(trial, digits, FeatureStore(tmp_path / "other", "float32"))
    monkeypatch.undo()
    np.testing.assert_allclose(own.at_cut("train")[:], kept.at_cut("train"), rtol=1e-4, atol=1e-5)


def test_a_budget_too_small_for_all_cuts_still_serves_the_trial_s_own(
    small_trial, digits, tmp_path
):
    trial, cuts = small_trial(15), (0, 15, 90)
    everything = FeatureStore(tmp_path / "all", "float32")
    features(trial, digits, everything, cuts).at_cut("train")
    sizes = sorted(p.stat().st_size for p in (tmp_path / "all").rglob("*.npy"))
    store = FeatureStore(tmp_path / "own", "float32", sum(sizes) - 1)
    assert isinstance(features(trial, digits, store, cuts).at_cut("train"), np.ndarray)
    assert len(list((tmp_path / "own").rglob("*.npy"))) < len(sizes)


def test_with_room_for_two_of_three_views_later_trials_compute_the_third_alone(
    small_trial, digits, tmp_path, monkeypatch
):
    monkeypatch.setattr(FeatureStore, "measure_disk", lambda self: Disk(write_s=0.0, read_s=0.0))
    turned = {"augment": Augment(rotate=0.1), "views": 3, "warm_up_epochs": 0}
    trial = small_trial(20, **turned)

    def passed(store):
        found = features(trial, digits, store)
        found.at_cut("validation")
        for epoch in (1, 2, 3):
            found.at_cut("train", trial.view(epoch))[:]
        return found.multiply_adds

    whole = passed(FeatureStore(tmp_path / "all", "float32"))
    sizes = [path.stat().st_size for path in (tmp_path / "all").rglob("*.npy")]
    store = FeatureStore(tmp_path / "few", "float32", sum(sizes) - 1)
    # 60 images per view, and 70 validation images
    assert [passed(store) for _ in range(3)] == [whole, whole * 60 // 250, whole * 60 // 250]


def test_trials_between_two_cuts_share_the_larger_one(small_trial, digits, store, outcomes):
    alone, shared = small_trial(18), small_trial(18, cut_layers=30)
    one, other = (outcomes(train(trial, digits, store)) for trial in (alone, shared))
    np.testing.assert_allclose(one, other, atol=2e-3)


def deepest(features, store, split, view):
    """Return the names of the cuts that the store has for this view."""
    features.at_cut(split, view)
    return {name for name in features._cuts if store.holds(features.key(name, split, view))}


def test_views_that_no_head_trains_on_are_passed_to_the_cut_alone(small_trial, digits, store):
    turned = {"augment": Augment(rotate=0.1), "views": 3, "warm_up_epochs": 2}
    fine = features(small_trial(20, **turned), digits, store, (20,))
    cut = {name for name in fine._cuts if name != "pool"}
    assert deepest(fine, store, "train", 1) == deepest(fine, store, "validation", None)
    assert deepest(fine, store, "train", 1) == {"pool", *cut}
    assert deepest(fine, store, "train", 2) == cut
    heads = features(small_trial(20, **turned), digits, store, (0, 20))
    assert deepest(heads, store, "train", 0) == {"pool", *cut}


def test_without_warm_up_nobody_pays_for_pooled_vectors(small_trial, digits, tmp_path):
    trial, store = small_trial(20, warm_up_epochs=0), FeatureStore(tmp_path, "float16")
    first, *_ = train(trial, digits, store)
    fine = features(trial, digits, store)
    assert deepest(fine, store, "train", None) == {name for name in fine._cuts if name != "pool"}
    assert np.isnan(first.train_loss)
    assert np.isfinite(first.validation_loss)


def test_what_is_computed_when_asked_for_takes_some_images_at_a_time():
    seen = []

    def summed(which):
        few = images[which]
        seen.append(len(few))
        return few.sum(axis=(1, 2, 3)).astype(np.float32)[:, None]

    images = np.random.default_rng(0).integers(0, 256, (50, 4, 4, 3), dtype=np.uint8)
    rows = Computed(images, summed, (1,), np.dtype("float32"), 7 * 48)
    order = np.random.default_rng(1).permutation(50)
    np.testing.assert_array_equal(rows[order], images[order].sum(axis=(1, 2, 3))[:, None])
    assert max(seen) == 7
    for part in (slice(None), slice(40, 99), slice(9, 3), slice(3, 40, 5), slice(20, 21)):
        expected = images[part].sum(axis=(1, 2, 3))[:, None]
        np.testing.assert_array_equal(rows[part], expected)
    assert max(seen) == 7


def test_a_computed_row_that_does_not_fit_is_an_error_as_a_kept_one_is():
    rows = Computed(np.ones((4, 2)), lambda which: np.full((2, 2), 1e6), (2,), np.dtype("float16"))
    with pytest.raises(TooLargeError, match="do not fit into float16"):
        rows[:2]


def test_what_augmenting_takes_counts_for_keeping(small_trial, digits, store, monkeypatch):
    turned = {"augment": Augment(rotate=0.1), "views": 3}
    found = features(small_trial(20, **turned), digits, store)
    assert found._seconds_to_augment(found.images("train", 1)) > 0
    assert found._seconds_to_augment(found.images("validation", None)) == 0


@pytest.mark.parametrize("overlap", [0, 1])
def test_a_pass_over_a_view_is_that_over_its_pixels_which_it_never_fetches(
    small_trial, digits, store, monkeypatch, overlap
):
    turned = {"augment": Augment(rotate=0.1, contrast=0.2, flip="horizontal"), "views": 3}
    trial = small_trial(20, **turned)
    device = replace(CPU_PROFILE, step_overlap=overlap, eval_bytes=1)  # steps of 16 images
    executor = Executor((), device)
    found = Features(trial, executor.network(trial, 10).backbone, digits, store, executor)
    view = found.images("train", 1)
    pixels, names = view[:], list(found._cuts)
    expected = found._run(names, pixels)(slice(0, 37))
    monkeypatch.delattr(View, "__getitem__")
    for one, other in zip(found._run(names, view)(slice(0, 37)), expected, strict=True):
        np.testing.assert_array_equal(one, other)
    here_and_there = np.array([40, 3, 11])
    for one, other in zip(found._run(names, view)(here_and_there), expected, strict=True):
        np.testing.assert_allclose(one[1:], other[[3, 11]], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shard_rows", [48, 1000])
def test_features_are_the_same_in_shards_of_any_size(small_trial, digits, tmp_path, shard_rows):
    kept = []
    for rows, overlap in ((128, 0), (shard_rows, 1)):
        device = replace(CPU_PROFILE, shard_rows=rows, overlap=overlap, eval_bytes=1)
        trial, executor = small_trial(20), Executor((), device)
        store = FeatureStore(tmp_path / str(overlap), "float16")
        backbone = executor.network(trial, 10).backbone
        Features(trial, backbone, digits, store, executor).at_cut("train")
        files = sorted((tmp_path / str(overlap)).rglob("*.npy"))
        kept.append([(path.name, path.read_bytes()) for path in files])
    assert len(kept[0]) == 2
    assert kept[0] == kept[1]

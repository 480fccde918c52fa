"""Laws of the feature store: fields determine a key's name, and an array is made once per name."""

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tlsearch.features import (
    OFTEN,
    Activation,
    Demand,
    FeatureKey,
    FeatureStore,
    TooLargeError,
    split_digest,
    stored_array,
)
from tlsearch.store.entries import entries
from tlsearch.store.shards import Block

words = st.text("abc01_", max_size=4)
keys = st.builds(
    FeatureKey, words, words, words, st.integers(1, 99), words, words, st.integers(0, 9)
)
KEY = FeatureKey("w", "out", "tf", 48, "float16", "i")


@given(keys, keys)
def test_names_are_equal_exactly_where_keys_are(one: FeatureKey, other: FeatureKey) -> None:
    assert (one.name == other.name) == (one == other)
    assert one.name == replace(one).name


@pytest.mark.parametrize("field", [field.name for field in fields(FeatureKey)])
def test_every_field_changes_the_name(field: str) -> None:
    value = getattr(KEY, field)
    changed: Any = value + 1 if isinstance(value, int) else value + "x"
    assert replace(KEY, **{field: changed}).name != KEY.name


def test_a_name_is_the_same_on_every_machine() -> None:
    assert KEY.name == "2bdfe1459257b1d8806ad6f421292471"


MADE = np.linspace(0, 1, 20, dtype=np.float32).reshape(10, 2)
POOLED, AT_CUT = Activation(replace(KEY, cut="pool"), (2,)), Activation(KEY, (2, 1))


def together(
    store: FeatureStore, *asked: Activation, demand: Demand = OFTEN
) -> list[np.ndarray] | None:
    """Return activations of ten images, computed four at a time."""

    def prepare(missing: tuple[int, ...]) -> Block:
        shapes = [asked[place].shape for place in missing]
        return lambda start, stop: [MADE[start:stop].reshape(-1, *shape) for shape in shapes]

    return store.open_together(asked, 10, prepare, 4, demand)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_cuts_of_one_pass_are_kept_in_the_dtype_of_the_store(tmp_path: Path, dtype: str) -> None:
    found = together(FeatureStore(tmp_path, dtype), POOLED, AT_CUT)
    assert found is not None
    np.testing.assert_array_equal(found[0], MADE.astype(dtype))
    np.testing.assert_array_equal(found[1], MADE.astype(dtype)[..., None])
    assert {array.dtype for array in found} == {np.dtype(dtype)}


def test_each_entry_says_what_it_is(tmp_path: Path) -> None:
    together(FeatureStore(tmp_path, "float16"), replace(POOLED, key=replace(KEY, view="3")))
    (entry,) = entries(tmp_path / "features")
    assert entry.about is not None
    assert FeatureKey(**entry.about.what) == replace(KEY, view="3")
    assert (entry.about.shape, entry.about.dtype) == ((10, 2), "float16")


def test_numbers_that_do_not_fit_are_refused_and_nothing_is_kept(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path, "float16")
    with pytest.raises(TooLargeError, match=r"^activations up to 1e\+05 do not fit into float16"):
        store.open_together([POOLED], 10, lambda _: lambda a, b: [np.full((b - a, 2), 1e5)], 4)
    assert entries(tmp_path / "features") == []


def test_a_budget_too_small_is_none_before_anything_is_computed(tmp_path: Path) -> None:
    def never(_: tuple[int, ...]) -> Block:
        raise AssertionError("computed in vain")

    assert FeatureStore(tmp_path, "float16", 10).open_together([POOLED], 10, never) is None
    assert together(FeatureStore(tmp_path, "float16", 1000), POOLED) is not None


@pytest.mark.parametrize("budget", [None, 0])
def test_a_backbone_that_needs_a_wider_type_has_it_from_then_on(
    tmp_path: Path, budget: int | None
) -> None:
    store, other = FeatureStore(tmp_path, "float16", budget), replace(KEY, images="others")
    assert store.for_backbone(KEY).dtype == "float16"
    assert store.widen(KEY).dtype == "float32"
    assert store.for_backbone(KEY).dtype == "float32"
    assert store.for_backbone(other).dtype == store.dtype == "float16"
    assert (
        store.with_dtype("float16").for_backbone(KEY).dtype == "float16"
    )  # for a trial that is resumed
    later = FeatureStore(tmp_path, "float16", budget).for_backbone(KEY)
    assert later.dtype == ("float16" if budget == 0 else "float32")


ENTRY_BYTES = 10 * 2 * 2 + 128  # ten rows of two numbers, and the header


def views(network: str, count: int) -> list[Activation]:
    return [Activation(replace(KEY, weights=network, view=str(n)), (2,)) for n in range(count)]


def passes(store: FeatureStore, trial: Sequence[Activation], reads: int = 1) -> int:
    """Read each array of a trial in turn, `reads` times, and return how often one was computed."""
    demand, made, kept = Demand(reads, frozenset(one.key.name for one in trial)), 0, set()
    for _ in range(reads):
        for one in trial:
            held = one in kept or store.holds(one.key)
            made += not held
            if not held and together(store, one, demand=demand) is not None:
                kept.add(one)
            elif held:
                together(store, one, demand=demand)
    return made


def aged(cache: Path, seconds: float) -> None:
    """Make all entries older by this time."""
    for entry in entries(cache / "features"):
        os.utime(entry.path, (entry.last_used - seconds,) * 2)


@settings(max_examples=25)
@given(
    st.integers(1, 6), st.integers(0, 6), st.integers(1, 4), st.integers(1, 2),
    st.booleans(), st.booleans(),
)  # fmt: skip
def test_trials_that_take_views_in_turn_compute_what_does_not_fit_and_no_more(
    count: int, room: int, trials: int, reads: int, warm: bool, used: bool
) -> None:
    """It is as if the views that fit were pinned: never more is computed than without a cache."""
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder)
        if used:  # by an earlier study
            together(FeatureStore(cache, "float16"), *views("old", room))
            aged(cache, 60)
        store, made = FeatureStore(cache, "float16", room * ENTRY_BYTES or 1), 0
        for _ in range(trials):
            if not warm:  # another process resumes the trial
                store = FeatureStore(cache, "float16", room * ENTRY_BYTES or 1)
            made += passes(store, views("w", count), reads)
    pinned = min(room, count)
    assert made == pinned + trials * reads * (count - pinned)
    assert made <= trials * reads * count


def test_processes_at_different_views_do_not_take_each_others_away(tmp_path: Path) -> None:
    one, other = (FeatureStore(tmp_path, "float16", 3 * ENTRY_BYTES) for _ in range(2))
    asked, made = views("w", 4), 0
    demand = Demand(1, frozenset(view.key.name for view in asked))
    for turn in range(24):
        for store, place in ((one, turn), (other, turn + 2)):
            made += not store.holds(asked[place % 4].key)
            together(store, asked[place % 4], demand=demand)
    assert made == 3 + 2 * 6  # once for each that is kept; the fourth at each read


def test_networks_in_turn_leave_each_other_what_they_use(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path, "float16", 3 * ENTRY_BYTES)
    made = sum(passes(store, views(name, 3)) for name in "abababab")
    assert made == 3 + 4 * 3


def test_a_network_that_is_asked_for_alone_is_kept_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tlsearch.features.CLOCKS_APART_S", 0.0)
    store = FeatureStore(tmp_path, "float16", 3 * ENTRY_BYTES)
    assert [passes(store, views("a", 3)) for _ in range(2)] == [3, 0]
    time.sleep(0.05)  # well before the other one is refused
    assert [passes(store, views("b", 3)) for _ in range(3)] == [3, 3, 0]


def test_what_a_trial_reads_often_replaces_what_another_network_has(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path, "float16", 2 * ENTRY_BYTES)
    for name in "aba":
        assert passes(store, views(name, 2), reads=5) == 2


def test_a_store_that_is_off_keeps_nothing_and_finds_nothing(tmp_path: Path) -> None:
    off = FeatureStore(tmp_path / "off", "float16", 0)
    assert together(off, POOLED) is None
    assert not (tmp_path / "off").exists()
    together(FeatureStore(tmp_path, "float16"), POOLED)
    assert together(FeatureStore(tmp_path, "float16", 0), POOLED) is None


def test_a_split_digest_follows_its_pictures_and_their_order() -> None:
    hashes = np.arange(6, dtype=np.uint64)

    def digest(rows: list[int]) -> str:
        data: Any = SimpleNamespace(hashes=hashes, splits={"train": np.array(rows)})
        return split_digest(data, "train")

    assert digest([0, 1, 2]) == digest([0, 1, 2])
    assert len({digest(rows) for rows in ([0, 1, 2], [0, 2, 1], [0, 1], [3, 4, 5])}) == 4


def test_what_is_missing_is_asked_for_elsewhere_before_it_is_computed(tmp_path: Path) -> None:
    asked: list[list[str]] = []

    def fetch(names: Sequence[str], compute: Callable[[], Block]) -> Block:
        asked.append(list(names))
        return lambda start, stop: [np.full((stop - start, 2), 7) for _ in names]

    def never(missing: tuple[int, ...]) -> Block:
        raise AssertionError("computed")

    store = FeatureStore(tmp_path, "float16", fetch=fetch)
    for _ in range(2):
        (found,) = store.open_together([POOLED], 10, never) or []
        np.testing.assert_array_equal(found, np.full((10, *POOLED.shape), 7, "float16"))
    assert asked == [[POOLED.key.name]]
    np.testing.assert_array_equal(stored_array(tmp_path, POOLED.key.name), found)
    assert stored_array(tmp_path, "another") is None

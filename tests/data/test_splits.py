"""Laws of the splits: the place of an example depends on its own key."""

import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tlsearch.base.errors import DataError
from tlsearch.config.dataset import Splits
from tlsearch.data.listing import SPLITS, Example, Split
from tlsearch.data.splits import assign, divide, hash_position

CLASSES = ("cat", "dog")


def pictures(count: int, prefix: str = "") -> list[Example]:
    return [Example(f"{prefix}{CLASSES[i % 2]}/{i}.png", i % 2) for i in range(count)]


def keys(
    examples: Sequence[Example], splits: Splits, classes: Sequence[str] = CLASSES
) -> dict[Split, set[str]]:
    found = assign(examples, splits, classes)
    assert sum(len(rows) for rows in found.values()) == len(np.unique(np.r_[*found.values()]))
    return {split: {examples[i].key for i in rows} for split, rows in found.items()}


@st.composite
def plans(draw: st.DrawFn) -> Splits:
    """Draw shares and counts of 200 images that leave enough for each split."""
    part = st.sampled_from([0.2, 0.25, 20, 31])
    sizes: dict[str, Any] = {"validation": draw(part), "test": draw(part)}
    return Splits(**sizes, train=draw(st.sampled_from(["rest", 0.5, 40])))


@settings(deadline=None, max_examples=20)
@given(plans(), st.permutations(pictures(200)))
def test_the_order_of_the_listing_is_nothing(splits: Splits, shuffled: list[Example]) -> None:
    assert keys(shuffled, splits) == keys(pictures(200), splits)


@given(plans())
def test_each_example_is_in_one_split_at_most_and_the_rest_leaves_none_over(
    splits: Splits,
) -> None:
    found = keys(pictures(200), splits)
    everything = set().union(*found.values())
    assert splits.train != "rest" or everything == {e.key for e in pictures(200)}


@given(st.integers(0, 60), st.sampled_from([0.1, 0.3]))
def test_with_shares_an_old_example_never_moves_when_new_ones_come(new: int, share: float) -> None:
    splits = Splits(train=0.4, validation=share, test=0.25)
    old, grown = pictures(200), [*pictures(new, "new/"), *pictures(200)]
    before, after = keys(old, splits), keys(grown, splits)
    names = {example.key for example in old}
    assert {split: found & names for split, found in after.items()} == before


@given(st.integers(4, 40), st.integers(4, 40), st.integers(20, 60), st.integers(20, 60))
def test_counts_are_exact_and_spread_over_the_classes_in_proportion(
    validation: int, test: int, cats: int, dogs: int
) -> None:
    assume(validation + test + 8 <= cats + dogs)
    examples = [Example(f"cat/{i}", 0) for i in range(cats)]
    examples += [Example(f"dog/{i}", 1) for i in range(dogs)]
    found = assign(examples, Splits(validation=validation, test=test), CLASSES)
    assert (len(found["validation"]), len(found["test"])) == (validation, test)
    cats_in_test = sum(examples[i].label == 0 for i in found["test"])
    assert abs(cats_in_test - test * cats / (cats + dogs)) < 1


def test_shares_are_met_class_by_class_as_closely_as_chance_allows() -> None:
    examples = pictures(8000)
    found = assign(examples, Splits(validation=0.2, test=0.3), CLASSES)
    for split, share in (("train", 0.5), ("validation", 0.2), ("test", 0.3)):
        cats = sum(examples[i].label == 0 for i in found[split])
        assert abs(cats - 4000 * share) < 4 * (4000 * share * (1 - share)) ** 0.5


@given(st.text())
def test_a_place_is_a_number_from_zero_to_one(key: str) -> None:
    assert 0 <= hash_position(key) < 1


def test_a_place_is_the_same_on_every_machine() -> None:
    assert hash_position("cat/0.png") == 0.9341710646313734


def named(split: Split | None, count: int) -> list[Example]:
    return [replace(example, split=split) for example in pictures(count, f"{split}/")]


@given(st.sampled_from([(), ("validation",), ("test",), ("validation", "test")]))
def test_splits_that_the_data_names_are_kept_and_others_cut_from_train(
    given_splits: tuple[Split, ...],
) -> None:
    examples = named("train", 100)
    for split in given_splits:
        examples += named(split, 10)
    found = keys(examples, Splits(validation=0.2, test=0.2))
    for split in SPLITS:
        home = split if split in given_splits else "train"
        assert all(key.startswith(f"{home}/") for key in found[split])
        assert len(found[split]) == 10 or split not in given_splits


@pytest.mark.parametrize("only", [("test",), ("validation", "test")])
def test_data_without_a_train_split_is_refused_rather_than_trained_on_its_test(
    only: tuple[Split, ...],
) -> None:
    examples = [example for split in only for example in named(split, 40)]
    with pytest.raises(DataError) as refused:
        assign(examples, Splits(), CLASSES)
    found = {1: "split test", 2: "splits validation, test"}[len(only)]
    assert str(refused.value) == (
        f"the data has the {found}, expected a train split too; add one, or set data.pool: true "
        "to split all pictures anew"
    )


def test_a_count_that_is_not_there_says_how_many_are() -> None:
    with pytest.raises(DataError) as refused:
        assign(pictures(20), Splits(validation=8, test=15), CLASSES)
    assert str(refused.value) == "data.splits.validation: found 8, but only 5 images are left"


def test_a_split_without_a_class_says_which() -> None:
    with pytest.raises(DataError) as refused:
        assign(pictures(40), Splits(validation=1, test=10), CLASSES)
    assert str(refused.value) == (
        "the validation split (1 images) has no image of dog; "
        "ask for a larger data.splits.validation; a class needs an image for each split"
    )


@given(st.integers(3, 12), st.integers(0, 10**6))
def test_a_class_of_three_images_has_one_in_every_split(each: int, salt: int) -> None:
    examples = [
        Example(f"{salt}/{label}/{number}", label) for label in (0, 1) for number in range(each)
    ]
    for rows in assign(examples, Splits(), CLASSES).values():
        assert {examples[i].label for i in rows} == {0, 1}


def test_a_name_that_is_no_text_has_its_place_too() -> None:
    assert 0 <= hash_position("cat/\udcff.png") < 1


FEW = Splits()  # 15 % each for validation and test


def few(salt: int, each: int, classes: int = 5) -> list[Example]:
    return [Example(f"{salt}/{label}/{i}", label) for label in range(classes) for i in range(each)]


def sizes(examples: list[Example], rows: Any) -> list[int]:
    return np.bincount([examples[i].label for i in rows]).tolist()


@given(st.integers(0, 10**6))
def test_a_share_leaves_no_class_of_thirty_nearly_empty(salt: int) -> None:
    examples = few(salt, 30)
    found = assign(examples, FEW, "abcde")
    for split in ("validation", "test"):
        assert min(sizes(examples, found[split])) >= 5
    assert min(sizes(examples, found["train"])) >= 10


@given(st.integers(0, 10**6), st.integers(12, 40))
def test_train_lends_only_while_it_keeps_twice_as_many(salt: int, each: int) -> None:
    examples = few(salt, each, 2)
    found = divide(examples, FEW, CLASSES)
    for label in (0, 1):
        has = {split: sizes(examples, found.rows[split])[label] for split in SPLITS}
        lent = {s: sizes(examples, [*rows, 0, -1])[label] - 1 for s, rows in found.moved.items()}
        train = has["train"] + lent["test"]
        assert has["validation"] >= 5 or train - 1 < 2 * (has["validation"] + 1)
        assert not lent["validation"] or (has["validation"] <= 5 and train >= 2 * has["validation"])
        assert not lent["test"] > 1 or (has["test"] <= 5 and has["train"] >= 2 * has["test"])


@given(st.integers(0, 10**6), st.integers(20, 40))
def test_only_pictures_of_train_move_and_the_nearest_first(salt: int, each: int) -> None:
    examples = few(salt, each, 2)
    found = divide(examples, Splits(validation=0.1, test=0.1), CLASSES)
    places = np.array([hash_position(example.key) for example in examples])
    labels = np.array([example.label for example in examples])
    for split, low, high in (("test", 0.0, 0.1), ("validation", 0.1, 0.2)):
        drawn = np.flatnonzero((places >= low) & (places < high))
        moved = found.moved[split]
        np.testing.assert_array_equal(found.rows[split], np.union1d(drawn, moved))
        assert not np.isin(moved, drawn).any()
        assert (places[moved] >= 0.2).all()
    taken = np.concatenate(list(found.moved.values()))
    for label in (0, 1):
        stayed = places[found.rows["train"]][labels[found.rows["train"]] == label]
        assert places[taken][labels[taken] == label].max(initial=0) < stayed.min(initial=1)


@given(st.integers(0, 10**6), st.integers(0, 40))
def test_what_the_thresholds_put_into_a_split_stays_there_when_a_class_grows(
    salt: int, new: int
) -> None:
    small = few(salt, 14, 2)
    drawn = divide(small, FEW, CLASSES)
    grown = [*few(salt + 1, new, 2), *small]
    after = keys(grown, FEW)
    for split in ("validation", "test"):
        kept = np.setdiff1d(drawn.rows[split], drawn.moved[split])
        assert {small[i].key for i in kept} <= after[split]


def test_the_first_rules_draw_as_they_did() -> None:
    digest = hashlib.blake2b(digest_size=8)
    for salt, each in itertools.product(range(40), (3, 7, 12, 30)):
        found = divide(few(salt, each, 2), FEW, CLASSES, rules=1)
        assert not found.moved
        for split in SPLITS:
            digest.update(f"{split} {found.rows[split].tolist()}".encode())
    assert digest.hexdigest() == "06057ee87494f102"


def test_a_share_cut_from_train_folders_is_filled_too() -> None:
    examples = [Example(f"{label}/{i}", label, "train") for label in (0, 1) for i in range(40)]
    examples += [Example(f"t/{label}/{i}", label, "test") for label in (0, 1) for i in range(2)]
    found = divide(examples, Splits(validation=0.02), CLASSES)
    assert sizes(examples, found.rows["validation"]) == [5, 5]
    assert sizes(examples, found.rows["test"]) == [2, 2]


def test_counts_are_not_filled() -> None:
    examples = few(3, 40, 2)
    found = divide(examples, Splits(validation=4, test=6), CLASSES)
    assert (len(found.rows["validation"]), len(found.rows["test"])) == (4, 6)
    assert not any(len(rows) for rows in found.moved.values())

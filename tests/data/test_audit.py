"""Laws of the audit: it counts the images that occur in both of two splits."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tlsearch.data.audit import find_contradictions, find_duplicates

contents = st.lists(st.integers(0, 5), max_size=8)


@given(contents, contents, contents)
def test_every_picture_that_stands_again_is_counted_and_no_other(
    train: list[int], validation: list[int], test: list[int]
) -> None:
    hashes = np.array([*train, *validation, *test], dtype=np.uint64)
    ends = np.cumsum([0, len(train), len(validation), len(test)])
    rows = [np.arange(a, b) for a, b in itertools.pairwise(ends)]
    found = find_duplicates(hashes, {"train": rows[0], "validation": rows[1], "test": rows[2]})
    assert found.train_in_validation == sum(h in validation for h in train)
    assert found.train_in_test == sum(h in test for h in train)
    assert found.validation_in_test == sum(h in test for h in validation)
    assert found.train_again.tolist() == [
        i for i, h in enumerate(train) if h in validation or h in test
    ]
    assert found.any == any(h in test or h in validation for h in train) or any(
        h in test for h in validation
    )


def test_it_says_how_many_and_where() -> None:
    hashes = np.array([1, 2, 1, 1, 2], dtype=np.uint64)
    splits = {"train": np.array([0, 1]), "validation": np.array([2]), "test": np.array([3, 4])}
    assert str(find_duplicates(hashes, splits)) == (
        "the same picture in two splits: train and validation 1, train and test 2, "
        "validation and test 1"
    )


labelled = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2)), max_size=12)


@given(labelled)
def test_a_contradiction_is_two_equal_pictures_of_two_labels(rows: list[tuple[int, int]]) -> None:
    hashes = np.array([content for content, _ in rows], dtype=np.uint64)
    labels = np.array([label for _, label in rows], dtype=np.int32)
    found = find_contradictions(hashes, labels)
    assert all(hashes[a] == hashes[b] and labels[a] != labels[b] for a, b in found)
    assert len(found) == len(set(rows)) - len({content for content, _ in rows})

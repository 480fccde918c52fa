"""Laws of the feature store: a key's name is its fields, and an array is made once a name."""

from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlsearch.features import FeatureKey, FeatureStore, split_digest

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
    assert KEY.name == "d1bce512cf578caab4d313bb47192e73"


def test_activations_are_kept_in_the_dtype_of_the_store(tmp_path: Path) -> None:
    made = np.linspace(0, 1, 12, dtype=np.float32).reshape(4, 3)
    found = FeatureStore(tmp_path, "float16").open(KEY, 4, lambda: [made[:1], made[1:]])
    np.testing.assert_array_equal(found, made.astype(np.float16))
    again = FeatureStore(tmp_path, "float16").open(KEY, 4, lambda: pytest.fail("made again"))
    np.testing.assert_array_equal(again, found)


def test_a_split_digest_follows_its_pictures_and_their_order() -> None:
    hashes = np.arange(6, dtype=np.uint64)

    def digest(rows: list[int]) -> str:
        data: Any = SimpleNamespace(hashes=hashes, splits={"train": np.array(rows)})
        return split_digest(data, "train")

    assert digest([0, 1, 2]) == digest([0, 1, 2])
    assert len({digest(rows) for rows in ([0, 1, 2], [0, 2, 1], [0, 1], [3, 4, 5])}) == 4

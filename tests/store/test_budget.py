"""Laws of a store's budget: too large an array is refused, the least recently used is evicted."""

import os
from pathlib import Path

import numpy as np
import pytest
from small_arrays import ROWS, SHARD, A, B, assert_whole, begun, makes, never, rows_of

from tlsearch.store.arrays import ArrayStore, NoRoomError
from tlsearch.store.entries import entries
from tlsearch.store.shards import ArraySpec


def test_what_the_budget_cannot_hold_is_refused_before_it_is_computed(tmp_path: Path) -> None:
    with pytest.raises(NoRoomError):
        ArrayStore(tmp_path, A.file_bytes - 1).open_together([A], never, SHARD)
    assert entries(tmp_path) == []
    ArrayStore(tmp_path, A.file_bytes).open_together([A], makes(A), SHARD)
    assert_whole(tmp_path, A)


def test_the_least_recently_opened_makes_room_but_never_what_is_asked_for(tmp_path: Path) -> None:
    c, d = (ArraySpec(key, A.shape, A.dtype) for key in "cd")
    store = ArrayStore(tmp_path, 3 * A.file_bytes)
    for age, spec in enumerate((A, c, d)):
        store.open_together([spec], makes(spec), SHARD)
        os.utime(store.path(spec.key), (age, age))
    mapped = store.open_together([A], never, SHARD)  # now c is the least recently used
    e, f = (ArraySpec(key, A.shape, A.dtype) for key in "ef")
    store.open_together([e], makes(e), SHARD)
    assert {entry.key for entry in entries(tmp_path)} == {"a", "d", "e"}
    os.utime(store.path("a"), (0, 0))
    store.open_together([A, f], makes(A, f), SHARD)
    assert {entry.key for entry in entries(tmp_path)} == {"a", "e", "f"}
    os.utime(store.path("a"), (0, 0))
    store.open_together([d], makes(d), SHARD)
    assert not store.path("a").exists()
    np.testing.assert_array_equal(mapped[0], rows_of(A, 0, ROWS))  # a mapped array stays readable


def test_what_is_being_made_counts_and_stays(tmp_path: Path) -> None:
    work, budget = begun(tmp_path), A.file_bytes + B.file_bytes
    c = ArraySpec("c", A.shape, A.dtype)
    with work.participating(), pytest.raises(NoRoomError):
        ArrayStore(tmp_path, budget).open_together([c], never, SHARD)
    ArrayStore(tmp_path, budget).open_together([A, B], makes(A, B), SHARD)
    assert_whole(tmp_path, A, B)


def test_a_pass_that_died_makes_room(tmp_path: Path) -> None:
    begun(tmp_path)
    c = ArraySpec("c", A.shape, A.dtype)
    ArrayStore(tmp_path, A.file_bytes + B.file_bytes).open_together([c], makes(c), SHARD)
    (entry,) = entries(tmp_path)
    assert entry.key == "c"
    assert not list(tmp_path.glob("*.pass"))

"""Laws of entries: which are evicted to make room, their checksums, and damaged sidecars."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlsearch.store.entries import (
    About,
    Entry,
    array_checksum,
    entries,
    read_about,
    remove,
    sidecar,
    to_evict,
    write_about,
)

sizes = st.integers(0, 20)
cache_entries = st.lists(st.tuples(sizes, st.integers(0, 5)), max_size=8).map(
    lambda pairs: [
        Entry(Path(f"{place}.npy"), size, float(used), None)
        for place, (size, used) in enumerate(pairs)
    ]
)
ABOUT = About((6, 2), "float16", 1.5, 4, "c", {"cut": "out"})


@given(held=cache_entries, wanted=sizes, budget=st.integers(0, 100))
def test_just_enough_of_the_least_recently_used_goes(
    held: list[Entry], wanted: int, budget: int
) -> None:
    gone = to_evict(held, wanted, budget)
    if gone is None:
        assert wanted > budget
        return
    kept = [entry for entry in held if entry not in gone]
    assert sum(entry.bytes for entry in kept) + wanted <= budget
    assert all(a.last_used <= b.last_used for a in gone for b in kept)
    assert list(gone) == sorted(gone, key=lambda entry: entry.last_used)
    if gone:
        assert sum(e.bytes for e in kept) + gone[-1].bytes + wanted > budget


@given(rows=st.integers(1, 20), shard_rows=st.integers(1, 25), place=st.integers(0, 10**6))
def test_a_checksum_sees_every_byte(rows: int, shard_rows: int, place: int) -> None:
    array = np.arange(3 * rows, dtype=np.uint8).reshape(rows, 3)
    before = array_checksum(array, shard_rows)
    assert array_checksum(array.copy(), shard_rows) == before
    array.reshape(-1)[place % array.size] ^= 1
    assert array_checksum(array, shard_rows) != before


def test_a_checksum_is_of_the_bytes_however_they_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    array = np.arange(999, dtype=np.float32).reshape(333, 3)
    before = array_checksum(array, 100)
    monkeypatch.setattr("tlsearch.store.entries.CHUNK_BYTES", 64)
    assert array_checksum(array, 100) == before


def test_entries_are_listed_least_recently_used_first_with_what_they_are(tmp_path: Path) -> None:
    import os

    for age, name in enumerate("ba"):
        np.save(tmp_path / f"{name}.npy", np.zeros(3))
        os.utime(tmp_path / f"{name}.npy", (age, age))
    write_about(tmp_path / "a.npy", ABOUT)
    found = entries(tmp_path)
    assert [(entry.key, entry.about) for entry in found] == [("b", None), ("a", ABOUT)]
    remove(tmp_path / "a.npy")
    assert [path.name for path in tmp_path.iterdir()] == ["b.npy"]
    assert entries(tmp_path / "gone") == []


@pytest.mark.parametrize("text", ["", "[", "[]", "3", '{"shape": 3}', '{"shape": [3]}', "\xff"])
def test_a_sidecar_that_cannot_be_read_is_none(tmp_path: Path, text: str) -> None:
    sidecar(tmp_path / "a.npy").write_bytes(text.encode("latin-1"))
    assert read_about(tmp_path / "a.npy") is None

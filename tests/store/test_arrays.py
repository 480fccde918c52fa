"""Laws of arrays on disk: whole or absent, computed once, repaired when damaged."""

import logging
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tlsearch.store.arrays import ArrayStore, Blocks, write_blocks

ARRAY = np.arange(24, dtype=np.float32).reshape(6, 2, 2)


def whole() -> Blocks:
    return [ARRAY[:4], ARRAY[4:]]


def never() -> Blocks:
    raise AssertionError("computed although it was there")


@settings(deadline=None, max_examples=15)
@given(
    lengths=st.lists(st.integers(0, 5), min_size=1, max_size=6).filter(any),
    dtype=st.sampled_from(["uint8", "uint64", "float16", "float32"]),
)
def test_blocks_are_read_back_as_one_array(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], dtype: str
) -> None:
    blocks = [np.full((n, 3), place, dtype)[::-1] for place, n in enumerate(lengths)]
    path = tmp_path_factory.getbasetemp() / "blocks.npy"
    write_blocks(path, sum(lengths), blocks)
    found = np.load(path)
    np.testing.assert_array_equal(found, np.concatenate(blocks))
    assert found.dtype == dtype


def test_what_is_there_is_not_computed_again(tmp_path: Path) -> None:
    store = ArrayStore(tmp_path / "cache")
    first = store.open("k", 6, whole)
    again = ArrayStore(tmp_path / "cache").open("k", 6, never)
    np.testing.assert_array_equal(first, ARRAY)
    np.testing.assert_array_equal(again, ARRAY)
    with pytest.raises(ValueError, match="read-only"):
        again[0] = 1


def test_a_maker_that_fails_halfway_leaves_nothing(tmp_path: Path) -> None:
    def half() -> Iterator[np.ndarray]:
        yield ARRAY[:4]
        raise RuntimeError("out of memory")

    store = ArrayStore(tmp_path)
    with pytest.raises(RuntimeError, match="out of memory"):
        store.open("k", 6, half)
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ".lock"] == []
    np.testing.assert_array_equal(store.open("k", 6, whole), ARRAY)


@pytest.mark.parametrize("rows", [5, 7])
def test_blocks_of_another_length_are_refused(tmp_path: Path, rows: int) -> None:
    with pytest.raises(ValueError, match=f"the blocks hold 6 rows, expected {rows}"):
        ArrayStore(tmp_path).open("k", rows, whole)
    assert not ArrayStore(tmp_path).path("k").exists()


def _mended(store: ArrayStore, caplog: pytest.LogCaptureFixture) -> str:
    """Open a damaged array, check that it is repaired with one warning, and return the warning."""
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        np.testing.assert_array_equal(store.open("k", 6, whole), ARRAY)
    (warning,) = caplog.messages
    store.open("k", 6, never)
    return warning


def test_a_truncated_file_is_computed_again_with_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = ArrayStore(tmp_path)
    store.open("k", 6, whole)
    good = store.path("k").read_bytes()
    for length in (0, 1, 7, 9, 60, 127, 128, len(good) - 1):
        store.path("k").write_bytes(good[:length])
        assert f"{store.path('k')} is damaged (" in _mended(store, caplog)


@settings(deadline=None, max_examples=30)
@given(place=st.integers(0, 127), byte=st.sampled_from([0, ord("("), ord("'"), 255]))
@example(place=11, byte=ord("("))  # numpy raises a TokenError
def test_a_file_with_any_byte_of_its_header_wrong_is_never_an_error(
    tmp_path_factory: pytest.TempPathFactory, place: int, byte: int
) -> None:
    store = ArrayStore(tmp_path_factory.getbasetemp() / "damaged")
    store.open("k", 6, whole)
    good = store.path("k").read_bytes()
    store.path("k").write_bytes(good[:place] + bytes([byte]) + good[place + 1 :])
    assert len(store.open("k", 6, whole)) == 6
    store.path("k").unlink()


def test_a_file_with_another_number_of_rows_is_computed_again_with_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = ArrayStore(tmp_path)
    np.save(store.path("k"), ARRAY[:5])
    warning = _mended(store, caplog)
    assert warning == f"{store.path('k')}: found 5 rows, expected 6: computing it again"


KILLED_BEFORE_RENAME = """
import os, signal, sys
from pathlib import Path
import numpy as np
from tlsearch.store.arrays import ArrayStore
os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
ArrayStore(Path(sys.argv[1])).open("k", 6, lambda: [np.zeros((6, 2, 2), np.float32)])
"""


def test_a_writer_killed_before_the_rename_leaves_the_next_one_to_compute(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED_BEFORE_RENAME, str(tmp_path)], check=False)
    assert done.returncode == -signal.SIGKILL
    store = ArrayStore(tmp_path)
    assert not store.path("k").exists()
    np.testing.assert_array_equal(store.open("k", 6, whole), ARRAY)


SLOW = """
import sys, time
from pathlib import Path
import numpy as np
from tlsearch.store.arrays import ArrayStore
def make():
    with open(sys.argv[1] + "/computed", "a") as file:
        file.write("once ")
    time.sleep(0.3)
    yield np.ones((6, 2), np.float32)
print("ready", flush=True)
sys.stdin.readline()
print(ArrayStore(Path(sys.argv[1])).open("k", 6, make).sum())
"""


def test_two_processes_that_ask_for_one_key_compute_it_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SLOW, str(tmp_path)]
    both = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for process in both:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in both:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    assert [process.communicate(timeout=20)[0] for process in both] == ["12.0\n", "12.0\n"]
    assert (tmp_path / "computed").read_text() == "once "

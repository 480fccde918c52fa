"""Pickled data: arrays are read exactly, and no code in a pickle ever runs."""

import datetime
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tlsearch.base.errors import DataError
from tlsearch.data.kinds import pickled
from tlsearch.data.kinds.pickled import read_pickle

Dumps = Callable[[Any], bytes]


def read(folder: Path, raw: bytes) -> dict[str, Any]:
    (folder / "batch").write_bytes(raw)
    return read_pickle(folder / "batch")


def refusal(folder: Path, raw: bytes) -> str:
    with pytest.raises(DataError) as refused:
        read(folder, raw)
    return str(refused.value).replace(str(folder), "")


numbers = arrays.arrays(
    st.sampled_from(["u1", "<i4", ">i4", "<i8", "<f4", ">f8", "?"]),
    arrays.array_shapes(min_dims=0, max_side=4, min_side=0),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(numbers, st.booleans())
def test_an_array_is_what_was_written(
    tmp_path: Path, dumps: Dumps, array: np.ndarray, fortran: bool
) -> None:
    written = np.asfortranarray(array) if fortran else array
    found = read(tmp_path, dumps({"data": written}))["data"]
    assert (found.dtype, found.shape) == (written.dtype, written.shape)
    np.testing.assert_array_equal(found, written)


def test_plain_values_are_what_was_written_and_keys_are_text(tmp_path: Path, dumps: Dumps) -> None:
    found = read(tmp_path, dumps({"labels": [0, 3], b"raw": b"\xff\x00", "more": {"x": None}}))
    assert (found["labels"], found["raw"]) == ([0, 3], b"\xff\x00")


class Runs:
    """An object whose pickle calls a function."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call

    def __str__(self) -> str:
        return self.call[0].__name__


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_nothing_in_a_pickle_runs(tmp_path: Path, protocol: int) -> None:
    evil = Runs(os.system, f"touch {tmp_path}/harm")
    raw = pickle.dumps({"data": np.zeros(2), "labels": [evil]}, protocol=protocol)
    assert refusal(tmp_path, raw) == (
        "/batch: not a pickle of plain values and arrays "
        "(it asks for posix.system, which data never needs)"
    )
    pickle.loads(raw)  # proves that the test would notice
    assert (tmp_path / "harm").exists()


@pytest.mark.parametrize(
    "value",
    [
        Runs(eval, "1"),
        Runs(getattr, {}, "keys"),
        Runs(np.load, "x"),
        Runs(np.frombuffer, b"x"),
        Path("x"),
        datetime.date(2020, 1, 1),
        {1, 2}.__class__,
        np.ones(2).view(np.recarray),
    ],
    ids=str,
)
def test_whatever_is_not_an_array_or_plain_is_refused(tmp_path: Path, value: Any) -> None:
    assert "(it asks for " in refusal(tmp_path, pickle.dumps({"data": value}, protocol=2))


@pytest.mark.parametrize(
    "array",
    [np.array([{}, []], dtype=object), np.array(["cat"]), np.zeros(2, "u1,f4")],
    ids=["objects", "text", "records"],
)
def test_arrays_hold_numbers(tmp_path: Path, dumps: Dumps, array: np.ndarray) -> None:
    assert "expected numbers" in refusal(tmp_path, dumps({"data": array}))


def test_a_pickle_cannot_change_what_the_next_one_means(tmp_path: Path) -> None:
    # GLOBAL _codecs.encode, then BUILD with (None, {"harm": 1}), which sets attributes
    raw = b"\x80\x02c_codecs\nencode\n(N}X\x04\x00\x00\x00harmK\x01stb."
    assert "expected keys and values" in refusal(tmp_path, raw)
    assert all(not hasattr(known, "harm") for known in pickled._KNOWN.values())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_a_damaged_pickle_is_read_or_named(tmp_path: Path, data: st.DataObject) -> None:
    good = pickle.dumps({"data": np.arange(6, dtype=np.uint8), "labels": [1, 2]}, protocol=2)
    place = data.draw(st.integers(0, len(good) - 1))
    raw = data.draw(st.sampled_from([good[:place], good[:place] + b"\xff\xff" + good[place + 2 :]]))
    try:
        printed = f"{tmp_path}/batch: {len(read(tmp_path, raw))} keys"
    except DataError as error:
        printed = str(error)
    assert printed.startswith(f"{tmp_path}/batch: ")


def test_what_is_no_mapping_or_not_there_says_so(tmp_path: Path) -> None:
    assert refusal(tmp_path, pickle.dumps([1])) == (
        "/batch: found a list, expected keys and values"
    )
    with pytest.raises(DataError, match=r"gone: cannot be read \(No such file or directory\)"):
        read_pickle(tmp_path / "gone")

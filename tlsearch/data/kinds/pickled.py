"""Pickles of plain values and numeric arrays, read without running any code that they name."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np

from tlsearch.base.errors import DataError


class Kind:
    """The element type of a pickled array: booleans, integers or real numbers only."""

    def __init__(self, name: Any, *_: Any) -> None:
        self.dtype = np.dtype(_text(name))
        if self.dtype.kind not in "buif":
            raise pickle.UnpicklingError(f"an array of {self.dtype}, expected numbers")

    def __setstate__(self, state: Any) -> None:
        order = cast(Literal["<", ">", "|"], _text(state[1]))
        self.dtype = self.dtype.newbyteorder(order)


class PickledArray:
    """A pickled array, rebuilt from its bytes without the functions that the pickle names."""

    def __init__(self, *_: Any) -> None:
        self.values: np.ndarray[Any, Any] = np.zeros(0)

    def __setstate__(self, state: Any) -> None:
        _, shape, kind, fortran, raw = state
        raw = raw.encode("latin1") if isinstance(raw, str) else raw
        flat = np.frombuffer(raw, kind.dtype)
        self.values = flat.reshape(shape, order="F" if fortran else "C")


def _from_buffer(raw: bytes, kind: Kind, shape: tuple[int, ...], order: Any) -> PickledArray:
    """Rebuild the array of a pickle of protocol 5."""
    array = PickledArray()
    array.__setstate__((1, shape, kind, _text(order) == "F", raw))
    return array


def _latin1(text: str, encoding: Any) -> bytes:
    """Restore bytes, which Python 3 writes as Latin-1 text into pickles that Python 2 can read."""
    if _text(encoding) not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"text encoded as {encoding}")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    """Restore empty bytes, which pickles that Python 2 can read hold as a call of `bytes`."""
    return b""


def _nothing() -> None:
    """A placeholder for `numpy.ndarray`, which pickles name but `PickledArray` does not need."""


_KNOWN: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy.core.multiarray", "_reconstruct"): PickledArray,
    ("numpy._core.multiarray", "_reconstruct"): PickledArray,
    ("numpy.core.numeric", "_frombuffer"): _from_buffer,
    ("numpy._core.numeric", "_frombuffer"): _from_buffer,
    ("numpy", "ndarray"): _nothing,
    ("numpy", "dtype"): Kind,
    ("_codecs", "encode"): _latin1,
    ("__builtin__", "bytes"): _no_bytes,
}


class _Restricted(pickle.Unpickler):
    """An unpickler that maps a few names to this module's functions and refuses all others."""

    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        """The substitute for a name; a new function per call, as a pickle can set attributes."""
        if (module, name) not in _KNOWN:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which data never needs")
        return lambda *arguments: _KNOWN[module, name](*arguments)


def read_pickle(path: Path) -> dict[str, object]:
    """The mapping in a pickle, with its keys as text; raises DataError for any other content."""
    try:
        with path.open("rb") as file:
            found = _Restricted(file, encoding="bytes").load()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    except Exception as error:  # a damaged pickle fails in as many ways as there are operations
        reason = str(error) or type(error).__name__
        raise DataError(f"{path}: not a pickle of plain values and arrays ({reason})") from error
    if not isinstance(found, dict):
        raise DataError(f"{path}: found a {type(found).__name__}, expected keys and values")
    return {_text(key): _plain(value) for key, value in found.items()}


def _plain(value: Any) -> Any:
    return value.values if isinstance(value, PickledArray) else value


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)

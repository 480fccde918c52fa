"""Content-addressed arrays on disk: open one, or compute it once under a lock."""

import logging
import tokenize
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from tlsearch.files import whole_file

log = logging.getLogger(__name__)

Blocks = Iterable[NDArray[Any]]


class ArrayStore:
    """A folder of `.npy` files named by key; an array is there whole or not at all.

    Many processes may ask for one key: the first computes it, the others wait and then map it.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, key: str) -> Path:
        """Where the array of this key is, or would be."""
        return self.root / f"{key}.npy"

    def open(self, key: str, rows: int, make: Callable[[], Blocks]) -> NDArray[Any]:
        """The array of this key, memory-mapped and read-only, computed by `make` if need be.

        `make` yields blocks whose lengths add up to `rows`. A damaged file is computed again,
        with one warning.
        """
        found = self._map(key, rows, logging.DEBUG)
        if found is not None:
            return found
        self.root.mkdir(parents=True, exist_ok=True)
        with FileLock(self.root / f"{key}.lock"):
            found = self._map(key, rows, logging.WARNING)
            if found is None:
                write_blocks(self.path(key), rows, make())
                found = self._map(key, rows, logging.WARNING)
        assert found is not None, f"{self.path(key)} was written and cannot be read"
        return found

    def _map(self, key: str, rows: int, level: int) -> NDArray[Any] | None:
        path = self.path(key)
        try:
            array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
        except FileNotFoundError:
            return None
        except (ValueError, EOFError, OSError, SyntaxError, tokenize.TokenError) as error:
            log.log(level, "%s is damaged (%s): computing it again", path, error)
            return None
        if len(array) != rows:
            message = "%s: found %d rows, expected %d: computing it again"
            log.log(level, message, path, len(array), rows)
            return None
        return array


def write_blocks(path: Path, rows: int, blocks: Blocks) -> None:
    """Write blocks, one after another, as a single `.npy` array of `rows` rows."""
    written = 0
    with whole_file(path) as file:
        for block in _contiguous(blocks):
            if written == 0:
                header = {
                    "descr": np.lib.format.dtype_to_descr(block.dtype),
                    "fortran_order": False,
                    "shape": (rows, *block.shape[1:]),
                }
                np.lib.format.write_array_header_1_0(file, header)
            file.write(block.data)
            written += len(block)
        if written != rows:
            raise ValueError(f"{path}: the blocks hold {written} rows, expected {rows}")


def _contiguous(blocks: Blocks) -> Iterator[NDArray[Any]]:
    for block in blocks:
        if len(block):
            yield np.ascontiguousarray(block)

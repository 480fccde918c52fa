"""Two small arrays of one pass: how to compute and check them, and an interrupted pass."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tlsearch.store.arrays import ArrayStore
from tlsearch.store.entries import array_checksum, entries
from tlsearch.store.shards import ArraySpec, Block, Pass

ROWS, SHARD = 500, 64
A, B = ArraySpec("a", (ROWS, 3), "float32"), ArraySpec("b", (ROWS, 2, 2), "uint8")


def rows_of(spec: ArraySpec, start: int, stop: int) -> np.ndarray:
    whole = np.arange(np.prod(spec.shape)).reshape(spec.shape) * 7 % 251
    return whole[start:stop].astype(spec.dtype)


def makes(*specs: ArraySpec) -> Callable[[tuple[int, ...]], Block]:
    """Return a function that prepares the computation of the missing arrays."""

    def prepare(missing: tuple[int, ...]) -> Block:
        return lambda start, stop: [rows_of(specs[m], start, stop) for m in missing]

    return prepare


def never(missing: tuple[int, ...]) -> Block:
    raise AssertionError("computed although it was there")


def assert_whole(root: Path, *specs: ArraySpec) -> None:
    """Assert that the arrays are complete and match their checksums, and nothing else is left."""
    for spec, found in zip(specs, ArrayStore(root).open_together(specs, never, SHARD), strict=True):
        np.testing.assert_array_equal(found, rows_of(spec, 0, ROWS))
        assert not found.flags.writeable
    for entry in entries(root):
        assert entry.about is not None
        found = np.load(entry.path, mmap_mode="r")
        assert array_checksum(found, entry.about.shard_rows) == entry.about.checksum
    left = {path.suffix for path in root.iterdir()}
    assert left <= {".npy", ".json", ".lock"}


def begun(root: Path) -> Pass:
    """Return a pass that was interrupted after four shards, with its partial files and markers."""

    def fails(missing: tuple[int, ...]) -> Block:
        def block(start: int, stop: int) -> Any:
            if start == 4 * SHARD:
                raise KeyboardInterrupt
            return makes(A, B)(missing)(start, stop)

        return block

    with pytest.raises(KeyboardInterrupt):
        ArrayStore(root).open_together([A, B], fails, SHARD)
    return Pass(root, [A, B], SHARD)

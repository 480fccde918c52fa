"""Content-addressed arrays on disk: open them, or compute them once under a lock."""

import functools
import hashlib
import logging
import shutil
import time
import tokenize
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from tlsearch.base.array_types import AnyArray
from tlsearch.base.files import atomic_file
from tlsearch.config.device import SHARD_ROWS
from tlsearch.store.entries import (
    About,
    Entry,
    checksum,
    entries,
    remove,
    to_evict,
    touch,
    write_about,
)
from tlsearch.store.shards import ArraySpec, Block, Pass, abandoned_passes, partial_bytes

log = logging.getLogger(__name__)

Number = TypeVar("Number", bound=np.generic)
Blocks = Iterable[NDArray[Number]]
Prepare = Callable[[tuple[int, ...]], Block]
Spared = Callable[[Entry], bool]  # whether an entry is exempt from eviction
# What NumPy raises for a file that is not an array, or is truncated.
DAMAGED = (ValueError, EOFError, OSError, SyntaxError, tokenize.TokenError)
POLL_S = 0.05


class NoRoomError(Exception):
    """The budget of the store cannot hold the requested arrays."""


class ArrayStore:
    """A folder of `.npy` files named by key; an array is there whole or not at all.

    Many processes may ask for the same key: with `open` the first one computes the array while the
    others wait; with `open_together` they share the work. `budget_bytes` limits the size of the
    store when `open_together` adds arrays; `open` does not enforce it.
    """

    def __init__(self, root: Path, budget_bytes: int | None = None) -> None:
        self.root = root
        self.budget_bytes = budget_bytes

    def path(self, key: str) -> Path:
        """The path of the array with this key, whether it exists or not."""
        return self.root / f"{key}.npy"

    def open(
        self,
        key: str,
        rows: int,
        make: Callable[[], Blocks[Number]],
        what: Mapping[str, object] | None = None,
    ) -> NDArray[Number]:
        """The array of this key, memory-mapped and read-only; `make` computes it if it is missing.

        `make` yields blocks whose lengths add up to `rows`. A damaged file is computed again,
        with one warning. `what` describes the array in its sidecar.
        """
        found: NDArray[Number] | None = self._map(key, rows, logging.DEBUG)
        if found is not None:
            return found
        self.root.mkdir(parents=True, exist_ok=True)
        with self._lock(key):
            found = self._map(key, rows, logging.WARNING)
            if found is None:
                began = time.monotonic()
                digest = write_blocks(self.path(key), rows, make())
                found = self._map(key, rows, logging.WARNING)
                assert found is not None, f"{self.path(key)} was written and cannot be read"
                seconds = round(time.monotonic() - began, 3)
                about = About(
                    found.shape, str(found.dtype), seconds, rows, checksum([digest]), what or {}
                )
                write_about(self.path(key), about)
        return found

    def open_together(
        self,
        specs: Sequence[ArraySpec],
        prepare: Prepare,
        shard_rows: int = SHARD_ROWS,
        spared: Spared = lambda entry: False,
        writers: int = 0,
    ) -> list[NDArray[Any]]:
        """Arrays of equal length, memory-mapped; the missing ones are computed in one pass.

        `prepare` gets the places of the missing arrays in `specs`, once and only if this process
        has work to do. It returns a function of (start, stop) that computes one block of these rows
        for each missing array. Processes that ask for the same arrays at the same time share the
        shards of the pass. With `writers=1` a thread writes a shard while the next one is computed.
        Raises NoRoomError if the budget cannot hold the arrays beside the entries that are
        `spared`, OSError if the disk cannot.
        """
        while True:
            found = [self._find(spec) for spec in specs]
            missing = tuple(index for index, array in enumerate(found) if array is None)
            if not missing:
                return [array for array in found if array is not None]
            requested = {spec.key for spec in specs}
            work = Pass(self.root, [specs[index] for index in missing], shard_rows)
            with work.participating():
                stays = _stays(requested, spared)
                self._share(work, stays, _once(functools.partial(prepare, missing)), writers)

    def _share(self, work: Pass, stays: Spared, block: Block, writers: int) -> None:
        """Work on a pass together with other processes until its arrays are there."""

        def over() -> bool:
            return self._all_there(work) or bool(work.missing_parts())

        while not self._all_there(work):
            if work.missing_parts():
                self._allocate(work, stays)
            elif work.work(block, over, writers):
                continue
            elif work.complete():
                self._settle(work)
            else:
                time.sleep(POLL_S)
        with work.lock:
            if self._all_there(work):
                work.clear()

    def _all_there(self, work: Pass) -> bool:
        return all(self.path(spec.key).exists() for spec in work.specs)

    def _allocate(self, work: Pass, stays: Spared) -> None:
        with work.lock, FileLock(self.root / "budget.lock"):
            if not self._all_there(work):
                self._make_room(
                    sum(work.specs[index].file_bytes for index in work.missing_parts()), stays
                )
                work.allocate()

    def _make_room(self, wanted_bytes: int, stays: Spared) -> None:
        """Evict entries, least recently used first; none that stay, and no partial files in use."""
        if self.budget_bytes is None:
            return
        held = entries(self.root)
        total = wanted_bytes + sum(entry.bytes for entry in held)
        if total + partial_bytes(self.root) > self.budget_bytes:
            for folder in abandoned_passes(self.root):
                shutil.rmtree(folder, ignore_errors=True)
        free = [entry for entry in held if not stays(entry)]
        kept = total - wanted_bytes - sum(entry.bytes for entry in free) + partial_bytes(self.root)
        evicted = to_evict(free, wanted_bytes, self.budget_bytes - kept)
        if evicted is None:
            raise NoRoomError(f"{wanted_bytes} bytes do not fit into {self.budget_bytes}")
        for entry in evicted:
            with self._lock(entry.key):
                remove(entry.path)

    def _settle(self, work: Pass) -> None:
        """Give the arrays of a complete pass their final names; arrays that exist by then stay."""
        with work.lock:
            if self._all_there(work) or work.missing_parts() or not work.intact():
                return
            for index, spec in enumerate(work.specs):
                with self._lock(spec.key):
                    if not self.path(spec.key).exists():
                        write_about(self.path(spec.key), work.about(index))
                        work.partial(index).replace(self.path(spec.key))
                        touch(self.path(spec.key))

    def _find(self, spec: ArraySpec) -> NDArray[Any] | None:
        """The array of this spec, None if it is missing; removes a damaged one with one warning."""
        found = self._map(spec.key, spec, logging.DEBUG)
        if found is None and self.path(spec.key).exists():
            with self._lock(spec.key):
                found = self._map(spec.key, spec, logging.WARNING)
                if found is None:
                    remove(self.path(spec.key))
        return found

    def _lock(self, key: str) -> FileLock:
        return FileLock(self.root / f"{key}.lock")

    def _map(self, key: str, expected: int | ArraySpec, level: int) -> NDArray[Any] | None:
        path = self.path(key)
        try:
            array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
        except FileNotFoundError:
            return None
        except DAMAGED as error:
            log.log(level, "%s is damaged (%s): computing it again", path, error)
            return None
        wrong = _unlike(array, expected)
        if wrong is not None:
            log.log(level, "%s: %s: computing it again", path, wrong)
            return None
        touch(path)
        return array


def _unlike(array: AnyArray, expected: int | ArraySpec) -> str | None:
    """The difference between an array and the expected one; None if there is none."""
    if isinstance(expected, int):
        if len(array) == expected:
            return None
        return f"found {len(array)} rows, expected {expected}"
    dtype = np.dtype(expected.dtype)
    if array.shape == expected.shape and array.dtype == dtype:
        return None
    return f"found {array.shape} {array.dtype}, expected {expected.shape} {dtype}"


def _stays(requested: Collection[str], spared: Spared) -> Spared:
    """The test `spared`, extended to the requested entries."""
    return lambda entry: entry.key in requested or spared(entry)


def _once(prepare: Callable[[], Block]) -> Block:
    """The block function that `prepare` returns; `prepare` is called at its first use."""
    prepared: list[Block] = []

    def block(start: int, stop: int) -> Sequence[AnyArray]:
        if not prepared:
            prepared.append(prepare())
        return prepared[0](start, stop)

    return block


def write_blocks(path: Path, rows: int, blocks: Blocks[Number]) -> str:
    """Write blocks, one after another, as one `.npy` array of `rows` rows; return their digest."""
    written, running = 0, hashlib.blake2b(digest_size=16)
    with atomic_file(path) as file:
        for block in _contiguous(blocks):
            if written == 0:
                shape = (rows, *block.shape[1:])
                file.write(ArraySpec(path.stem, shape, str(block.dtype)).header)
            file.write(block.data)
            running.update(block.data)
            written += len(block)
        if written != rows:
            raise ValueError(f"{path}: the blocks hold {written} rows, expected {rows}")
    return running.hexdigest()


def _contiguous(blocks: Blocks[Number]) -> Iterator[NDArray[Number]]:
    for block in blocks:
        if len(block):
            yield np.ascontiguousarray(block)

"""One pass over rows that computes several arrays; processes share its shards of rows."""

import contextlib
import hashlib
import io
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from tlsearch.base.array_types import AnyArray
from tlsearch.base.cores import in_order
from tlsearch.base.files import atomic_file, parse_json, write_json
from tlsearch.store.entries import About, checksum, digest
from tlsearch.store.users import is_free

Block = Callable[[int, int], Sequence[AnyArray]]
_FORMAT = "1"  # part of a pass's name, so that partial files of other versions are never used


@dataclass(frozen=True)
class ArraySpec:
    """A requested array: its key, shape (rows first), dtype, and description for the sidecar."""

    key: str
    shape: tuple[int, ...]
    dtype: str
    what: Mapping[str, object] = field(default_factory=dict, hash=False)

    @property
    def header(self) -> bytes:
        """The header of its `.npy` file."""
        text = io.BytesIO()
        descr = np.lib.format.dtype_to_descr(np.dtype(self.dtype))
        header = {"descr": descr, "fortran_order": False, "shape": self.shape}
        np.lib.format.write_array_header_1_0(text, header)
        return text.getvalue()

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return int(np.prod(self.shape[1:], dtype=np.int64)) * np.dtype(self.dtype).itemsize

    @property
    def file_bytes(self) -> int:
        """Bytes of its `.npy` file."""
        return len(self.header) + self.shape[0] * self.row_bytes


@dataclass(frozen=True)
class _Shard:
    """The contents of the marker of a finished shard."""

    digests: list[str]  # of its rows, one per array
    seconds: float


@dataclass(frozen=True, eq=False)
class _Computed:
    """The computed rows of a shard, one block per array; closing `held` releases its lock."""

    shard: int
    blocks: Sequence[AnyArray]
    seconds: float
    held: contextlib.ExitStack


class Pass:
    """The partial files, locks and markers of one set of arrays of equal length, in one folder.

    A shard is done when its marker exists, and the marker is written after its data is on the disk.
    Locks are those of the operating system, so other processes can take the shard of a killed one.
    """

    def __init__(self, root: Path, specs: Sequence[ArraySpec], shard_rows: int) -> None:
        self.specs, self.shard_rows, self.rows = specs, shard_rows, specs[0].shape[0]
        contents = [(spec.key, spec.shape, spec.dtype) for spec in specs]
        name = hashlib.blake2b(repr((_FORMAT, contents, shard_rows)).encode(), digest_size=16)
        self.folder = root / f"{name.hexdigest()}.pass"
        self.lock = FileLock(self.folder.with_suffix(".passlock"))
        self._shards: dict[int, _Shard] = {}

    def partial(self, index: int) -> Path:
        """The file that becomes the array at this place in `specs`."""
        return self.folder / f"{index}.npy"

    @contextlib.contextmanager
    def participating(self) -> Iterator[None]:
        """Show other processes, until the block ends, that this one works on the pass."""
        worker = self._worker()
        try:
            yield
        finally:
            Path(worker.lock_file).unlink(missing_ok=True)
            worker.release()
            with contextlib.suppress(OSError, Timeout):  # the folder holds other workers' files
                self.folder.rmdir()
                with self.lock.acquire(timeout=0):
                    Path(self.lock.lock_file).unlink()

    def _worker(self) -> FileLock:
        while True:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.folder / f"{uuid.uuid4().hex}.worker")
            with contextlib.suppress(FileNotFoundError):  # the last worker just removed the folder
                lock.acquire()
                return lock

    def missing_parts(self) -> list[int]:
        """The places whose partial file is missing or has the wrong header or size."""
        return [index for index, spec in enumerate(self.specs) if not self._is_sound(index, spec)]

    def _is_sound(self, index: int, spec: ArraySpec) -> bool:
        try:
            with self.partial(index).open("rb") as file:
                header = file.read(len(spec.header))
                return header == spec.header and os.fstat(file.fileno()).st_size == spec.file_bytes
        except FileNotFoundError:
            return False

    def allocate(self) -> None:
        """Reserve the disk space of missing partial files; raises OSError if the disk is full.

        Hold the pass's lock.
        """
        missing = self.missing_parts()
        try:
            for index in missing:
                self._reserve(self.partial(index), self.specs[index])
        except OSError as error:
            for index in missing:
                self.partial(index).unlink(missing_ok=True)
            raise OSError(error.errno, error.strerror, str(self.folder.parent)) from error

    def _reserve(self, path: Path, spec: ArraySpec) -> None:
        with atomic_file(path) as file:
            file.write(spec.header)
            file.flush()
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, spec.file_bytes)
            else:
                file.truncate(spec.file_bytes)

    def work(self, block: Block, over: Callable[[], bool], writers: int = 0) -> bool:
        """Compute shards that no other process holds until none is left or the pass is `over`.

        Returns whether this process made any shard. With `writers=1` a thread writes a shard while
        the next one is computed, so two are in memory. A computed shard is written even if the
        computation of the next one fails.
        """
        made = self._computed_shards(block, over)
        with contextlib.closing(in_order(self._keep, made, writers, 2, finish=True)) as kept:
            return len(list(kept)) > 0

    def _computed_shards(self, block: Block, over: Callable[[], bool]) -> Iterator[_Computed]:
        """Yield computed shards in turn, each under its lock, which its writer releases."""
        for shard in range(self._shard_count):
            if self._done(shard):
                continue
            if over():
                return
            # This thread acquires it, and the writer's thread releases it.
            lock = FileLock(self.folder / f"{shard}.shardlock", thread_local=False)
            try:
                lock.acquire(timeout=0)
            except (Timeout, FileNotFoundError):  # another process holds it, or the pass is over
                continue
            with contextlib.ExitStack() as held:
                held.callback(lock.release)
                if not self._done(shard):
                    yield self._compute(shard, block, held)

    def complete(self) -> bool:
        """Whether every shard is done."""
        return all(self._done(shard) for shard in range(self._shard_count))

    def intact(self) -> bool:
        """Whether the rows of a complete pass are those that were written.

        Shards with other rows, as in a damaged partial file, lose their marker and are done again.
        Hold the pass's lock.
        """
        arrays = [np.load(self.partial(p), mmap_mode="r") for p in range(len(self.specs))]
        spoilt = [shard for shard in self._shards if not self._intact(shard, arrays)]
        for shard in spoilt:
            self._marker(shard).unlink(missing_ok=True)
            del self._shards[shard]
        return not spoilt

    def _intact(self, shard: int, arrays: Sequence[AnyArray]) -> bool:
        start = shard * self.shard_rows
        rows = slice(start, start + self.shard_rows)
        return [digest([array[rows]]) for array in arrays] == self._shards[shard].digests

    def about(self, index: int) -> About:
        """The sidecar of the array at this place once the pass is complete."""
        spec, shards = self.specs[index], [self._shards[s] for s in range(self._shard_count)]
        return About(
            shape=spec.shape,
            dtype=str(np.dtype(spec.dtype)),
            seconds=round(sum(shard.seconds for shard in shards), 3),
            shard_rows=self.shard_rows,
            checksum=checksum([shard.digests[index] for shard in shards]),
            what=spec.what,
        )

    def clear(self) -> None:
        """Remove partial files, markers and locks. Hold the pass's lock."""
        shutil.rmtree(self.folder, ignore_errors=True)
        Path(self.lock.lock_file).unlink(missing_ok=True)

    @property
    def _shard_count(self) -> int:
        return -(-self.rows // self.shard_rows)

    def _marker(self, shard: int) -> Path:
        return self.folder / f"{shard}.done"

    def _done(self, shard: int) -> bool:
        if shard not in self._shards:
            found = self._read(shard)
            if found is None:
                return False
            self._shards[shard] = found
        return True

    def _read(self, shard: int) -> _Shard | None:
        try:
            found = _Shard(**parse_json(self._marker(shard).read_text(encoding="utf-8")))
            return found if len(found.digests) == len(self.specs) else None
        except (OSError, ValueError, TypeError):
            return None

    def _compute(self, shard: int, block: Block, held: contextlib.ExitStack) -> _Computed:
        start = shard * self.shard_rows
        stop = min(start + self.shard_rows, self.rows)
        began = time.monotonic()
        blocks = [np.ascontiguousarray(array) for array in block(start, stop)]
        seconds = time.monotonic() - began
        for spec, array in zip(self.specs, blocks, strict=True):
            _check(spec, array, stop - start)
        return _Computed(shard, blocks, seconds, held.pop_all())

    def _keep(self, made: _Computed) -> int:
        """Write a shard, its marker last, and release its lock; return its number."""
        with made.held, contextlib.suppress(FileNotFoundError):  # another process finished the pass
            digests = [digest([array]) for array in made.blocks]
            for index, array in enumerate(made.blocks):
                self._write(index, made.shard * self.shard_rows, array)
            write_json(self._marker(made.shard), asdict(_Shard(digests, made.seconds)))
        return made.shard

    def _write(self, index: int, start: int, array: AnyArray) -> None:
        """Write rows at their place in the partial file; they are on the disk on return."""
        spec = self.specs[index]
        with self.partial(index).open("r+b") as file:
            file.seek(len(spec.header) + start * spec.row_bytes)
            file.write(array.data)
            file.flush()
            os.fsync(file.fileno())


def abandoned_passes(root: Path) -> Iterator[Path]:
    """Folders of passes that no process works on any more."""
    for folder in sorted(root.glob("*.pass")):
        if all(is_free(worker) for worker in folder.glob("*.worker")):
            yield folder


def partial_bytes(root: Path) -> int:
    """The size of all partial files of a folder; each has its final size from the start."""
    total = 0
    for path in root.glob("*.pass/*.npy"):
        with contextlib.suppress(FileNotFoundError):  # it has been given its final name
            total += path.stat().st_size
    return total


def _check(spec: ArraySpec, array: AnyArray, rows: int) -> None:
    expected = (rows, *spec.shape[1:])
    if array.shape != expected or array.dtype != np.dtype(spec.dtype):
        raise ValueError(
            f"{spec.key}: the block is {array.shape} {array.dtype}, "
            f"expected {expected} {np.dtype(spec.dtype)}"
        )

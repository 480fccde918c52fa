"""The feature store: activations of a frozen prefix, computed once and shared by every trial."""

import copy
import functools
import hashlib
import logging
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, astuple, dataclass
from pathlib import Path

import numpy as np

from tlsearch.base.array_types import AnyArray, Floats
from tlsearch.config.device import SHARD_ROWS
from tlsearch.data.listing import Split
from tlsearch.data.sources import ImageData
from tlsearch.store.arrays import (
    DAMAGED,
    ArrayStore,
    NoRoomError,
    Prepare,
    Spared,
)
from tlsearch.store.entries import Entry
from tlsearch.store.shards import ArraySpec, Block

DISK_SAMPLE = 4 * 2**20
CLOCKS_APART_S = 0.05  # largest difference between the clocks of a process and the file system
WIDE = "float32"  # the dtype that holds every activation
FOLDER = "features"  # of a cache

# (names of arrays, how to compute their rows) -> their rows, from the faster source
Fetch = Callable[[Sequence[str], Callable[[], Block]], Block]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FeatureKey:
    """Everything that an activation depends on; equal keys mean equal arrays.

    `weights` and `images` are digests of contents; `cut` names the tensor; `view` says how the
    images were augmented, "" for the clean ones. `device` is the text of `DeviceProfile.numerics`.
    """

    weights: str
    cut: str
    preprocess: str
    image_px: int
    dtype: str
    images: str
    view: str = ""
    device: str = ""

    @property
    def name(self) -> str:
        """The key as a file name; without an empty `device`, as in earlier versions."""
        *parts, device = astuple(self)
        text = "\0".join(str(part) for part in (*parts, *filter(None, [device])))
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def weights_key(build: str, digest: str | None) -> str:
    """The `weights` of a key: the function that builds a network, and the network's digest."""
    return f"{build} {digest}"


@dataclass(frozen=True)
class Activation:
    """A requested activation: its key, and the shape of one row."""

    key: FeatureKey
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Demand:
    """How a trial uses the arrays that it requests: it reads them `reads` times.

    `own` holds the names of all arrays that the trial takes in turn.
    """

    reads: int = 2
    own: frozenset[str] = frozenset()


OFTEN = Demand()


class TooLargeError(Exception):
    """Activations have values that do not fit into the dtype in which they are stored."""


@dataclass(frozen=True)
class Disk:
    """Seconds per byte of features: to write it once, and to read it in an epoch."""

    write_s: float
    read_s: float


def worth_keeping(seconds: float, size: int, epochs: int, disk: Disk) -> bool:
    """Whether keeping features takes at most as long as recomputing them in every epoch.

    They take `seconds` to compute and `size` bytes, both per image. Kept features are computed and
    written once, and read in each of the trial's `epochs` epochs.
    """
    kept = seconds + size * (disk.write_s + epochs * disk.read_s)
    return kept <= seconds * epochs


class FeatureStore:
    """Arrays of activations under one folder, (n, ...) in the order of a split's indices.

    `budget_bytes` limits the size of the folder; None is no limit, and 0 switches the store off: it
    keeps nothing and finds nothing. Missing arrays go through `fetch`, if it is given, which may
    have a faster source than computing them.

    If there is no room for all arrays, the least recently used ones are evicted first. Two rules
    keep trials that cycle through the same arrays from evicting each one before its next use. The
    arrays that a trial takes in turn stay while it takes the rest. An array that the trial reads
    once replaces only arrays that were not used since this process began, or since it last
    requested that array in vain. Arrays that are not kept are computed at each read.
    """

    def __init__(
        self,
        cache: Path,
        dtype: str,
        budget_bytes: int | None = None,
        fetch: Fetch | None = None,
    ) -> None:
        self.dtype = dtype
        self._arrays = ArrayStore(cache / FOLDER, budget_bytes)
        self._fetch = fetch
        self._began = time.time()
        self._refused: dict[str, float] = {}  # when an array was requested in vain
        self._wide: set[str] = set()
        self._settled = False

    def with_dtype(self, dtype: str) -> "FeatureStore":
        """The same store with this dtype for every backbone; `for_backbone` does not change it."""
        other = copy.copy(self)
        other.dtype, other._settled = dtype, True
        return other

    def for_backbone(self, backbone: FeatureKey) -> "FeatureStore":
        """The same store for a backbone, given by a key without a cut.

        Its dtype is float32 if the activations of the backbone were found not to fit into `dtype`.
        """
        if self._settled or not self._is_wide(backbone):
            return self
        return self.with_dtype(WIDE)

    def widen(self, backbone: FeatureKey) -> "FeatureStore":
        """Record that the activations of a backbone do not fit into `dtype`, and return the store
        in float32.

        From now on `for_backbone` returns it for all trials of this backbone, in other processes
        too.
        """
        self._wide.add(backbone.name)
        if self._arrays.budget_bytes != 0:
            self._arrays.root.mkdir(parents=True, exist_ok=True)
            self._wide_mark(backbone).touch()
        return self.with_dtype(WIDE)

    def _is_wide(self, backbone: FeatureKey) -> bool:
        return backbone.name in self._wide or self._wide_mark(backbone).is_file()

    def _wide_mark(self, backbone: FeatureKey) -> Path:
        return self._arrays.root / f"{backbone.name}.{WIDE}"

    def holds(self, key: FeatureKey) -> bool:
        """Whether these activations are stored already."""
        return self._arrays.budget_bytes != 0 and self._arrays.path(key.name).is_file()

    def open_together(
        self,
        activations: Sequence[Activation],
        rows: int,
        prepare: Prepare,
        shard_rows: int = SHARD_ROWS,
        demand: Demand = OFTEN,
        writers: int = 0,
    ) -> list[Floats] | None:
        """Activations of the same pictures, memory-mapped; None if they are not kept.

        They are not kept if the budget cannot hold them beside arrays that are used more, or if the
        store is off. Missing ones are computed in one pass over `rows` rows, shared with every
        process that requests the same ones in the meantime: `prepare(places)` gets their places in
        `activations` and returns a function of (start, stop) that computes one block for each of
        them, in that order. Raises TooLargeError if they do not fit into the store's dtype.
        """
        if self._arrays.budget_bytes == 0:
            return None
        specs = [self._spec(activation, rows) for activation in activations]
        lacking = [one.key.name for one in activations if not self.holds(one.key)]
        try:
            prepare = self._rounding(self._fetching(activations, prepare))
            spared = self._is_spared_for(lacking, demand)
            return self._arrays.open_together(specs, prepare, shard_rows, spared, writers)
        except NoRoomError as error:
            log.info("%s: not kept", error)
            self._refused |= dict.fromkeys(lacking, time.time())
            return None

    def _is_spared_for(self, lacking: Sequence[str], demand: Demand) -> Spared:
        """The test for entries that are not evicted to make room for these arrays."""
        request_times = (self._refused.get(name, self._began) for name in lacking)
        since = min(request_times, default=self._began) - CLOCKS_APART_S

        def spared(entry: Entry) -> bool:
            used = demand.reads < 2 and entry.last_used >= since
            return entry.key in demand.own or used

        return spared

    def measure_disk(self) -> Disk:
        """Measure the seconds per byte of the store's disk with a small temporary file."""
        self._arrays.root.mkdir(parents=True, exist_ok=True)
        block = np.random.default_rng(0).bytes(DISK_SAMPLE)
        with tempfile.TemporaryFile(dir=self._arrays.root) as file:
            began = time.perf_counter()
            file.write(block)
            file.flush()
            os.fsync(file.fileno())
            written = time.perf_counter()
            file.seek(0)
            file.read()
            read = time.perf_counter()
        return Disk((written - began) / DISK_SAMPLE, (read - written) / DISK_SAMPLE)

    def _spec(self, activation: Activation, rows: int) -> ArraySpec:
        return ArraySpec(
            activation.key.name, (rows, *activation.shape), self.dtype, asdict(activation.key)
        )

    def _fetching(self, activations: Sequence[Activation], prepare: Prepare) -> Prepare:
        fetch = self._fetch
        if fetch is None:
            return prepare

        def prepared(missing: tuple[int, ...]) -> Block:
            return fetch(
                [activations[index].key.name for index in missing], lambda: prepare(missing)
            )

        return prepared

    def _rounding(self, prepare: Prepare) -> Prepare:
        def prepared(missing: tuple[int, ...]) -> Block:
            block = prepare(missing)
            return lambda start, stop: [
                cast_activations(array, self.dtype) for array in block(start, stop)
            ]

        return prepared


@functools.lru_cache(maxsize=1)
def shared_store(
    cache: Path, dtype: str, budget_bytes: int | None, fetch: Fetch | None
) -> FeatureStore:
    """The one feature store of this process; it remembers requests that did not fit the budget."""
    return FeatureStore(cache, dtype, budget_bytes, fetch)


def cast_activations(block: AnyArray, dtype: str | np.dtype[np.floating]) -> Floats:
    """Cast activations to a store's dtype; raises TooLargeError if they do not fit into it."""
    with np.errstate(over="ignore"):
        found = block.astype(dtype)
    if np.isinf(found).any() and np.isfinite(block).all():
        raise TooLargeError(f"activations up to {np.abs(block).max():.3g} do not fit into {dtype}")
    return found


def stored_array(cache: Path, name: str) -> Floats | None:
    """The array of this name in a cache, memory-mapped; None if it is missing or damaged."""
    try:
        array: Floats = np.load(
            ArrayStore(cache / FOLDER).path(name), mmap_mode="r", allow_pickle=False
        )
    except DAMAGED:
        return None
    return array


def split_digest(data: ImageData, split: Split) -> str:
    """A digest of a split's pictures in their order."""
    contents = np.ascontiguousarray(data.hashes[data.splits[split]])
    return hashlib.blake2b(contents.tobytes(), digest_size=16).hexdigest()

"""The cache of a process between trials: networks, compiled epochs and arrays in memory."""

import functools
import gc
from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable
from typing import Any, Generic, TypeVar

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tlsearch.config.device import CPU_PROFILE, DeviceProfile
from tlsearch.config.networks.lookup import row_of
from tlsearch.config.networks.unfreezing import Depth, PrefixDepths
from tlsearch.config.trial_config import TrialConfig
from tlsearch.data.sources import Rows
from tlsearch.training.epoch.loop import Loop
from tlsearch.training.epoch.optimizer import Optimizer
from tlsearch.training.epoch.prediction import Array, row_bytes
from tlsearch.training.network.backbone import NETWORKS, load_backbone
from tlsearch.training.network.head import Head
from tlsearch.training.network.model import Network

T = TypeVar("T")

WARM_UP_BYTES = 2**28
HEADS = 32
ALIGNED = 64  # bytes; the alignment of arrays whose memory TensorFlow can share
PASSES = 16
# Messages of TensorFlow errors, other than ResourceExhaustedError, about a GPU out of memory.
NO_ROOM = (
    "Dst tensor is not initialized",  # a copy of rows to the GPU
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUDA_ERROR_OUT_OF_MEMORY",
    "RESOURCE_EXHAUSTED",
    "Out of memory while trying to allocate",
)


class LruCache(Generic[T]):
    """A cache that evicts the least recently used values when their sizes exceed a limit."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._values: OrderedDict[Hashable, tuple[T, int]] = OrderedDict()

    def clear(self) -> None:
        """Remove all values."""
        self._values.clear()

    def values(self) -> list[T]:
        """Return all values, least recently used first."""
        return [value for value, _ in self._values.values()]

    def get(self, key: Hashable, make: Callable[[], T], size: int = 1) -> T:
        """Return the value of `key`; call `make` if it is missing."""
        if key not in self._values:
            while self._values and self._total_size() + size > self._limit:
                self._values.popitem(last=False)
            self._values[key] = make(), size
        self._values.move_to_end(key)
        return self._values[key][0]

    def has_room(self, size: int, beside: Collection[Hashable]) -> bool:
        """Return whether a value of this size fits next to the values with the keys in `beside`."""
        kept = sum(held for key, (_, held) in self._values.items() if key in beside)
        return kept + size <= self._limit

    def _total_size(self) -> int:
        return sum(size for _, size in self._values.values())


class Executor:
    """A process's cache of networks, graphs and rows. Trials run in it one after another, and each
    starts as if it were the first.

    `prefix_depths` are the depths of the study's other trials by backbone: one pass of a backbone
    computes the features for all of them. `device` says how trials compute.
    """

    def __init__(
        self, prefix_depths: PrefixDepths = (), device: DeviceProfile = CPU_PROFILE
    ) -> None:
        self.device = device
        self._prefix_depths = dict(prefix_depths)
        self.warm_ups: LruCache[Any] = LruCache(WARM_UP_BYTES)
        self.passes: LruCache[Any] = LruCache(PASSES)
        self._networks: LruCache[Network] = LruCache(NETWORKS)
        self._heads: LruCache[Head] = LruCache(HEADS)
        self._loops: LruCache[Loop] = LruCache(4 * NETWORKS)
        self._resident: LruCache[Array] = LruCache(device.resident_bytes)
        self._taken: set[Hashable] = set()  # keys of rows that the running trial has used

    def prefix_depths(self, backbone: str) -> tuple[Depth, ...]:
        """Return the depths whose frozen prefixes the trials of this backbone share."""
        return self._prefix_depths.get(backbone, ())

    def network(self, trial: TrialConfig, classes: int) -> Network:
        """Return the network of the trial's shape, reset for this trial."""
        batch_norm = trial.train_batch_norm and not trial.frozen
        shape = (trial.depth, trial.prefix_depth, batch_norm)
        pooling = row_of(trial.backbone).pooled_by(trial.pooling)
        name = (trial.backbone, trial.weights, trial.image_px, pooling, trial.precision)

        def make() -> Network:
            backbone = load_backbone(*name)
            head = self._head(int(backbone.pooled.shape[-1]), trial.head_units, classes)
            return Network(backbone, *shape, head)

        network = self._networks.get((name, shape, trial.head_units, classes), make)
        network.begin(trial)
        self._taken.clear()
        return network

    def loop(
        self,
        owner: Network | Head,
        rows: Array,
        optimizer: str,
        pieces: int = 1,
        jit: bool = False,
    ) -> Loop:
        """Return the compiled epoch of a network, or of a head alone, for rows of this shape and
        type; `jit` compiles it with XLA.
        """

        def make() -> Loop:
            moving = Optimizer(optimizer, owner.trainable_variables(), owner.scales_loss)
            return Loop(owner.logits, rows, moving, pieces, self.device, jit)

        key = (owner, tuple(rows.shape[1:]), tf.as_dtype(rows.dtype), optimizer, pieces, jit)
        return self._loops.get(key, make)

    def hold(self, key: Hashable, rows: Array) -> Array:
        """Return the rows as a tensor in memory if they fit, otherwise unchanged.

        Rows that are computed on access are returned unchanged.
        """
        size = len(rows) * row_bytes(rows)
        if not isinstance(rows, np.ndarray | Rows) or not self._fits(key, size):
            return rows
        self._taken.add(key)
        return self._resident.get(key, lambda: as_tensor(rows, self.device), size)

    def _fits(self, key: Hashable, size: int) -> bool:
        """Return whether rows may be held in memory, evicting others if necessary.

        In the memory of a device they never evict rows of the running trial: if its views are used
        in turn and do not all fit, every view would be evicted before its next use. In the memory
        of this machine rows of up to half the limit may evict any others, since rows in a file can
        be mapped again at no cost.
        """
        if self.device.has_memory:
            return key in self._taken or self._resident.has_room(size, self._taken)
        return size <= self.device.resident_bytes // 2

    def held_bytes(self) -> int:
        """Return the bytes of networks, optimizers and rows in memory (GPU memory if a GPU is
        used).

        Graphs and their constants are not counted, since TensorFlow does not report their size.
        """
        every = [network.variables for network in self._networks.values()]
        every += [head.variables for head in self._heads.values()]
        every += [loop.optimizer.state for loop in self._loops.values()]
        distinct = {id(variable): variable for variables in every for variable in variables}
        rows = sum(len(rows) * row_bytes(rows) for rows in self._resident.values())
        return rows + sum(map(_variable_bytes, distinct.values()))

    def release_all(self) -> int:
        """Release everything kept for later trials and return its bytes, as far as they are
        counted. A running trial must start again.
        """
        held = self.held_bytes()
        for kept in (
            *(self.warm_ups, self.passes, self._networks),
            *(self._heads, self._loops, self._resident),
        ):
            kept.clear()
        load_backbone.cache_clear()
        keras.utils.clear_session()
        gc.collect()
        return held

    def _head(self, width: int, units: tuple[int, ...], classes: int) -> Head:
        return self._heads.get((width, units, classes), lambda: Head(width, units, classes))


def out_of_memory(error: BaseException) -> bool:
    """Return whether an error of TensorFlow means that memory ran out, whether an allocation, a
    copy to a GPU, cuDNN or XLA reports it.
    """
    if isinstance(error, tf.errors.ResourceExhaustedError):
        return True
    return isinstance(error, tf.errors.OpError) and any(text in str(error) for text in NO_ROOM)


def as_tensor(rows: Array, device: DeviceProfile = CPU_PROFILE) -> tf.Tensor:
    """Return the rows as a tensor in the memory of the device.

    In the memory of this machine the tensor shares the memory of a mapped file or of an aligned
    copy. `tf.constant` would need twice the array's memory; a mapped file needs none, however many
    processes map it.
    """
    if device.has_memory:
        return tf.constant(rows[:])
    shared = _mapped_again(rows) if isinstance(rows, np.memmap) else None
    if shared is None:
        shared = _aligned_copy(rows[:])
    return tf.experimental.dlpack.from_dlpack(shared.__dlpack__())


def _mapped_again(rows: np.memmap) -> NDArray[np.number] | None:
    """Map the file of `rows` again so that DLPack accepts it (a write would stay private). Return
    None if the file has been evicted, if `rows` is only a part of it, or if its data is not aligned
    for TensorFlow.
    """
    try:
        mapped = np.asarray(np.load(str(rows.filename), mmap_mode="c", allow_pickle=False))
    except (OSError, ValueError):
        return None
    same = mapped.shape == rows.shape and mapped.dtype == rows.dtype
    return mapped if same and mapped.ctypes.data % ALIGNED == 0 else None


def _aligned_copy(rows: NDArray[np.number]) -> NDArray[np.number]:
    """Return a copy of the rows at an address that TensorFlow can share."""
    raw = np.empty(rows.nbytes + ALIGNED, np.uint8)
    start = -raw.ctypes.data % ALIGNED
    found = raw[start : start + rows.nbytes].view(rows.dtype).reshape(rows.shape)
    found[:] = rows
    return found


def _variable_bytes(variable: tf.Variable) -> int:
    size: int = tf.as_dtype(variable.dtype).size
    return size * int(np.prod(variable.shape))


@functools.lru_cache(maxsize=1)
def shared_executor(
    prefix_depths: PrefixDepths = (), device: DeviceProfile = CPU_PROFILE
) -> Executor:
    """Return the executor of this process for its current study."""
    return Executor(prefix_depths, device)

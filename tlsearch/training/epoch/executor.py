"""What a process keeps between trials: networks, compiled epochs, arrays in memory."""

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
ALIGNED = 64  # bytes, of the addresses that TensorFlow shares
PASSES = 16
# What errors of TensorFlow that are not ResourceExhaustedError say of a GPU without room.
NO_ROOM = (
    "Dst tensor is not initialized",  # a copy of rows to the GPU
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUDA_ERROR_OUT_OF_MEMORY",
    "RESOURCE_EXHAUSTED",
    "Out of memory while trying to allocate",
)


class Recent(Generic[T]):
    """Values by key, the least recently used given up where their sizes pass a limit."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._values: OrderedDict[Hashable, tuple[T, int]] = OrderedDict()

    def clear(self) -> None:
        """Give up all of them."""
        self._values.clear()

    def values(self) -> list[T]:
        """All of them, least recently used first."""
        return [value for value, _ in self._values.values()]

    def get(self, key: Hashable, make: Callable[[], T], size: int = 1) -> T:
        """The value of this key, made where it is missing."""
        if key not in self._values:
            while self._values and self._held() + size > self._limit:
                self._values.popitem(last=False)
            self._values[key] = make(), size
        self._values.move_to_end(key)
        return self._values[key][0]

    def has_room(self, size: int, beside: Collection[Hashable]) -> bool:
        """Whether so much fits beside these of the values."""
        kept = sum(held for key, (_, held) in self._values.items() if key in beside)
        return kept + size <= self._limit

    def _held(self) -> int:
        return sum(size for _, size in self._values.values())


class Executor:
    """One warm process. Trials run in it one after another; each begins as if it were the first.

    `prefix_depths` are, for each backbone, those of the study's other trials: one pass of a
    backbone yields the features of all of them. `device` is how they compute.
    """

    def __init__(
        self, prefix_depths: PrefixDepths = (), device: DeviceProfile = CPU_PROFILE
    ) -> None:
        self.device = device
        self._prefix_depths = dict(prefix_depths)
        self.warm_ups: Recent[Any] = Recent(WARM_UP_BYTES)
        self.passes: Recent[Any] = Recent(PASSES)
        self._networks: Recent[Network] = Recent(NETWORKS)
        self._heads: Recent[Head] = Recent(HEADS)
        self._loops: Recent[Loop] = Recent(4 * NETWORKS)
        self._resident: Recent[Array] = Recent(device.resident_bytes)
        self._taken: set[Hashable] = set()  # rows that the trial which runs has trained on

    def prefix_depths(self, backbone: str) -> tuple[Depth, ...]:
        """The depths whose frozen prefixes trials of this backbone share."""
        return self._prefix_depths.get(backbone, ())

    def network(self, trial: TrialConfig, classes: int) -> Network:
        """The network of this trial's shape, begun for it."""
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
        """The compiled epoch of a network, or of a head alone, over rows like these; with `jit` by
        XLA.
        """

        def make() -> Loop:
            moving = Optimizer(optimizer, owner.trainable_variables(), owner.scales_loss)
            return Loop(owner.logits, rows, moving, pieces, self.device, jit)

        key = (owner, tuple(rows.shape[1:]), tf.as_dtype(rows.dtype), optimizer, pieces, jit)
        return self._loops.get(key, make)

    def hold(self, key: Hashable, rows: Array) -> Array:
        """These rows as a tensor in memory where they fit, else as they are.

        Rows that are computed when they are asked for stay so.
        """
        size = len(rows) * row_bytes(rows)
        if not isinstance(rows, np.ndarray | Rows) or not self._fits(key, size):
            return rows
        self._taken.add(key)
        return self._resident.get(key, lambda: as_tensor(rows, self.device), size)

    def _fits(self, key: Hashable, size: int) -> bool:
        """Whether rows may take the room of others. In the memory of a device never of rows that
        the same trial trains on: of views that are taken in turn and do not all fit, none would be
        found. In this machine's memory they may, as rows of a file are there again at no cost.
        """
        if self.device.has_memory:
            return key in self._taken or self._resident.has_room(size, self._taken)
        return size <= self.device.resident_bytes // 2

    def held_bytes(self) -> int:
        """Bytes that networks, optimizers and rows take in memory, that of a GPU where one is used.

        Graphs and their constants are not counted: nobody tells what they take.
        """
        every = [network.variables for network in self._networks.values()]
        every += [head.variables for head in self._heads.values()]
        every += [loop.optimizer.state for loop in self._loops.values()]
        distinct = {id(variable): variable for variables in every for variable in variables}
        rows = sum(len(rows) * row_bytes(rows) for rows in self._resident.values())
        return rows + sum(map(_variable_bytes, distinct.values()))

    def give_up(self) -> int:
        """Give up all that is kept for later trials; its bytes, as far as they are counted. A trial
        that runs must begin anew.
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
    """Whether TensorFlow says that memory did not suffice, in any of its ways: that of an
    allocation, of a copy to a GPU, of cuDNN and of XLA.
    """
    if isinstance(error, tf.errors.ResourceExhaustedError):
        return True
    return isinstance(error, tf.errors.OpError) and any(said in str(error) for said in NO_ROOM)


def as_tensor(rows: Array, device: DeviceProfile = CPU_PROFILE) -> tf.Tensor:
    """These rows as a tensor in the memory of the device. Where that is this machine's it is the
    array itself: `tf.constant` takes twice the array's memory, and an array that is mapped from a
    file takes none, however many processes have it mapped.
    """
    if device.has_memory:
        return tf.constant(rows[:])
    shared = _mapped_again(rows) if isinstance(rows, np.memmap) else None
    if shared is None:
        shared = _aligned(rows[:])
    return tf.experimental.dlpack.from_dlpack(shared.__dlpack__())


def _mapped_again(rows: np.memmap) -> NDArray[np.number] | None:
    """The same file mapped so that DLPack takes it (a write would stay private); None where it was
    evicted meanwhile, or these are a part of it, or it does not lie as TensorFlow needs it.
    """
    try:
        mapped = np.asarray(np.load(str(rows.filename), mmap_mode="c", allow_pickle=False))
    except (OSError, ValueError):
        return None
    same = mapped.shape == rows.shape and mapped.dtype == rows.dtype
    return mapped if same and mapped.ctypes.data % ALIGNED == 0 else None


def _aligned(rows: NDArray[np.number]) -> NDArray[np.number]:
    """A copy of some rows at such an address as TensorFlow takes."""
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
    """The one of this process, for the study that it works at."""
    return Executor(prefix_depths, device)

"""Limit TensorFlow to the cores and the memory that this process was granted."""

import gc
import logging
import os
from pathlib import Path

import keras
import tensorflow as tf

from tlsearch.base.gpus import granted_mib, limit_mib
from tlsearch.config.device import DeviceProfile
from tlsearch.training.epoch.executor import shared_executor
from tlsearch.training.network.backbone import load_backbone

log = logging.getLogger(__name__)


def limit_resources(cpus: int, gpus: float = 0) -> None:
    """Limit TensorFlow to `cpus` threads and the share `gpus` of each GPU's memory; 0 hides GPUs.

    By default TensorFlow takes every core of the machine and all memory of its GPUs. The call must
    come before the first operation of the process; later calls with the same number of `cpus` do
    nothing. Raises ClusterError if the share is too small.
    """
    if tf.config.threading.get_intra_op_parallelism_threads() == cpus:
        return
    tf.config.threading.set_intra_op_parallelism_threads(cpus)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    limit_gpus(gpus)


def limit_gpus(share: float) -> None:
    """Bound the memory of every visible GPU to a share of it; hide all GPUs if `share` is 0.

    With a whole GPU, or if nvidia-smi does not report the memory, TensorFlow takes memory only as
    it needs it. Without a bound, two processes on one GPU would each claim all of it, and the
    second would fail. Ray does not hide the GPUs from a worker that was granted none.
    """
    if not share:
        tf.config.set_visible_devices([], "GPU")
        return
    devices = tf.config.list_physical_devices("GPU")
    if not devices:
        log.warning("a GPU was granted, but TensorFlow sees none: this trial trains on CPUs")
    totals = granted_mib() if share < 1 else ()
    if share < 1 and len(totals) != len(devices):
        log.warning("nvidia-smi does not report the GPU's memory: the share of it is not enforced")
    for index, device in enumerate(devices):
        if len(totals) != len(devices):
            tf.config.experimental.set_memory_growth(device, True)
            continue
        limit = tf.config.LogicalDeviceConfiguration(memory_limit=limit_mib(share, totals[index]))
        tf.config.set_logical_device_configuration(device, [limit])


def apply_profile(device: DeviceProfile) -> None:
    """Apply the settings of a device profile that hold for the whole process."""
    tf.config.experimental.enable_tensor_float_32_execution(device.tf32)


def resident_bytes() -> int:
    """Return the resident memory of this process in bytes; 0 on systems other than Linux, where
    `release_memory` therefore never releases anything.
    """
    statm = Path("/proc/self/statm")
    return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if statm.is_file() else 0


def release_memory(limit_bytes: int) -> bool:
    """Release everything this process keeps between trials if it uses more than `limit_bytes`;
    return whether it did.

    The next trial then builds and traces again, which takes some seconds. Otherwise the memory of a
    slot would grow without bound.
    """
    if resident_bytes() <= limit_bytes:
        return False
    shared_executor.cache_clear()
    load_backbone.cache_clear()
    keras.utils.clear_session()
    gc.collect()
    return True


def gpu_names() -> tuple[str, ...]:
    """Return the model names of the GPUs that this process may use."""
    found = tf.config.get_visible_devices("GPU")
    details = map(tf.config.experimental.get_device_details, found)
    return tuple(detail.get("device_name", "a GPU") for detail in details)

"""TensorFlow as a guest: on no more cores than it was given, in no more memory than it needs."""

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


def limit_threads(cpus: int, gpus: float = 0) -> None:
    """Use `cpus` threads and, of each GPU, no more memory than a share of `gpus` is; with 0, none.

    TensorFlow would take every core of the machine and all memory of its GPUs. Takes effect before
    the process's first operation; later calls with the same number are nothing. ClusterError where
    the share is too small.
    """
    if tf.config.threading.get_intra_op_parallelism_threads() == cpus:
        return
    tf.config.threading.set_intra_op_parallelism_threads(cpus)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    limit_gpus(gpus)


def limit_gpus(share: float) -> None:
    """Bound the memory of every GPU that is visible: to a share of it, or else to what is used; see
    none where none was granted.

    Two processes on one GPU would each take all of it, and the second one to ask would fail. Ray
    hides no GPU from a worker that was granted none.
    """
    if not share:
        tf.config.set_visible_devices([], "GPU")
        return
    devices = tf.config.list_physical_devices("GPU")
    if not devices:
        log.warning("a GPU was granted and TensorFlow sees none: this trial trains on CPUs")
    totals = granted_mib() if share < 1 else ()
    if share < 1 and len(totals) != len(devices):
        log.warning("nvidia-smi does not tell the GPU's memory: the share of it is not enforced")
    for place, device in enumerate(devices):
        if len(totals) != len(devices):
            tf.config.experimental.set_memory_growth(device, True)
            continue
        limit = tf.config.LogicalDeviceConfiguration(memory_limit=limit_mib(share, totals[place]))
        tf.config.set_logical_device_configuration(device, [limit])


def apply(device: DeviceProfile) -> None:
    """Have this process compute as a profile says, where that is a setting of the process."""
    tf.config.experimental.enable_tensor_float_32_execution(device.tf32)


def resident_bytes() -> int:
    """Memory that this process holds (Linux; elsewhere 0, so that nothing is ever given up)."""
    told = Path("/proc/self/statm")
    return int(told.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if told.is_file() else 0


def forget(limit_bytes: int) -> bool:
    """Give up what this process keeps between trials, if it holds more than `limit_bytes`.

    The next trial builds and traces anew: some seconds, against a slot that grows for ever.
    """
    if resident_bytes() <= limit_bytes:
        return False
    shared_executor.cache_clear()
    load_backbone.cache_clear()
    keras.utils.clear_session()
    gc.collect()
    return True


def gpu_names() -> tuple[str, ...]:
    """The GPUs that this process may use, by the names of their models."""
    found = tf.config.get_visible_devices("GPU")
    details = map(tf.config.experimental.get_device_details, found)
    return tuple(detail.get("device_name", "a GPU") for detail in details)

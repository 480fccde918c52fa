"""TensorFlow as a guest: on no more cores than it was given, in no more memory than it needs."""

import gc
import os
from pathlib import Path

import keras
import tensorflow as tf

from tlsearch.training.backbone import load_backbone
from tlsearch.training.executor import shared_executor


def limit_threads(cpus: int) -> None:
    """Use `cpus` threads; TensorFlow would take every core of the machine.

    Takes effect before the process's first operation; later calls with the same number are nothing.
    """
    if tf.config.threading.get_intra_op_parallelism_threads() == cpus:
        return
    tf.config.threading.set_intra_op_parallelism_threads(cpus)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    for device in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(device, True)


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
    found = tf.config.list_physical_devices("GPU")
    details = map(tf.config.experimental.get_device_details, found)
    return tuple(detail.get("device_name", "a GPU") for detail in details)

"""TensorFlow as a guest: on no more cores than it was given."""

import tensorflow as tf


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


def gpu_names() -> tuple[str, ...]:
    """The GPUs that this process may use, by the names of their models."""
    found = tf.config.list_physical_devices("GPU")
    details = map(tf.config.experimental.get_device_details, found)
    return tuple(detail.get("device_name", "a GPU") for detail in details)

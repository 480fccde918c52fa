"""Ray for one search: started here or joined, quiet, and ended only if it was ours."""

import contextlib
import math
import os
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from tlsearch.config.schema import Resources
from tlsearch.errors import ClusterError, TlsearchError

T = TypeVar("T")

# Read by Ray and Tune when they are imported or started.
_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # data paths stay what they were
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_AUTH_MODE": "token",  # the cluster of one user stays that user's
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # they cost more than small trials
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # ours ends a search with what is done ranked
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "TUNE_MAX_PENDING_TRIALS_PG": "16",
}


@contextlib.contextmanager
def connect(resources: Resources) -> Iterator[int]:
    """Ray up, for the block; gives the number of trials that run at a time.

    Joins the cluster that RAY_ADDRESS names, else starts one on this machine. Raises ClusterError
    where that fails or no node can hold a trial.
    """
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    import ray

    try:
        ray.init(include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    except Exception as error:  # ConnectionError, RuntimeError, ValueError: as Ray likes
        raise ClusterError(f"Ray could not be started or reached: {error}") from error
    try:
        yield slots(resources, ray.cluster_resources())
    finally:
        ray.shutdown()


def slots(resources: Resources, available: dict[str, float]) -> int:
    """How many trials fit at a time, at most `max_concurrent`; ClusterError where none does."""
    cpus, gpus = available.get("CPU", 0), available.get("GPU", 0)
    fit = math.floor(cpus / resources.cpus_per_trial)
    if resources.gpus_per_trial:
        fit = min(fit, math.floor(gpus / resources.gpus_per_trial + 1e-9))
    if fit < 1:
        raise ClusterError(
            f"no trial fits: one asks for {resources.cpus_per_trial} CPUs and "
            f"{resources.gpus_per_trial:g} GPUs, the cluster has {cpus:g} and {gpus:g}"
        )
    wanted = resources.max_concurrent
    return fit if wanted == "auto" else min(fit, wanted)


def in_worker(function: Callable[..., T], *arguments: Any) -> T:
    """Call a function in a Ray worker: what imports TensorFlow never runs in the driver."""
    import ray

    try:
        result: T = ray.get(ray.remote(max_calls=1)(function).remote(*arguments))
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, TlsearchError):
            raise error.cause from None
        raise
    return result

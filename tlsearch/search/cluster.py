"""Ray for one search: started here or joined, quiet, and ended only if it was ours."""

import contextlib
import logging
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from tlsearch.config.schema import Resources
from tlsearch.errors import ClusterError, TlsearchError

log = logging.getLogger(__name__)

T = TypeVar("T")


@contextlib.contextmanager
def connect(resources: Resources) -> Iterator[int]:
    """Ray up, for the block; gives the number of trials that run at a time.

    Joins the cluster that RAY_ADDRESS names, else starts one on this machine. Raises ClusterError
    where that fails or no node can hold a trial.
    """
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


def as_completed(
    function: Callable[..., T],
    calls: Iterable[tuple[Any, ...]],
    resources: Resources,
    slots: int,
    stop: Callable[[], bool],
) -> Iterator[T]:
    """Results of calls in Ray workers, `slots` at a time, each when it is there.

    A call that fails is logged and left out; those that remain are given up once `stop` says so.
    """
    import ray

    task = ray.remote(num_cpus=resources.cpus_per_trial, num_gpus=resources.gpus_per_trial)
    later = deque(calls)
    waiting: list[Any] = []
    while (waiting or later) and not stop():
        while later and len(waiting) < slots:
            waiting.append(task(function).remote(*later.popleft()))
        ready, waiting = ray.wait(waiting, timeout=0.2)
        for one in ready:
            try:
                yield ray.get(one)
            except ray.exceptions.RayError as error:
                log.warning("a run failed and is left out: %s", error)
    for one in waiting:
        ray.cancel(one, force=True)


def in_worker(function: Callable[..., T], *arguments: Any) -> T:
    """Call a function in a Ray worker: what imports TensorFlow never runs in the driver.

    It runs on the driver's node, whose files it reads and writes, and which may offer no CPUs.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    task = ray.remote(max_calls=1, num_cpus=0, scheduling_strategy=here)
    try:
        result: T = ray.get(task(function).remote(*arguments))
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, TlsearchError):
            raise error.cause from None
        raise
    return result

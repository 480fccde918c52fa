"""The Ray session of one search: start or join Ray, quiet its logs, and run calls in workers."""

import contextlib
import logging
import os
import secrets
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from tlsearch.base.errors import ClusterError, TlsearchError, WeightsError
from tlsearch.base.files import create_private_file
from tlsearch.base.phases import current_listener, phase
from tlsearch.config.schema import Resources
from tlsearch.search.cluster.address import require_near
from tlsearch.search.cluster.capacity import Amounts, amounts_text, at_a_time, trials_that_fit
from tlsearch.search.cluster.nodes import nodes_up, this_node, trials_when_grown
from tlsearch.search.relay import collect_now, collect_phases, relay_phases

log = logging.getLogger(__name__)

T = TypeVar("T")

LOGGERS = ("ray.tune.tune", "ray.tune.execution.tune_controller")
INCOMPLETE = "Trials did not complete"


@contextlib.contextmanager
def connect(resources: Resources) -> Iterator[int]:
    """Connect to Ray for the block; yields the number of trials that run at a time.

    Joins the cluster that RAY_ADDRESS names, else starts one on this machine. Raises ClusterError
    if that fails or if no node can hold a trial.
    """
    import ray

    address = os.environ.get("RAY_ADDRESS") or "local"  # by default, Ray joins any local cluster
    require_near(address)
    store_token()
    quiet = {"include_dashboard": False, "log_to_driver": False, "logging_level": "ERROR"}
    _replace_ray_messages()
    ours = signal.getsignal(signal.SIGTERM)
    try:
        with phase("starting", 1, "step") as counter:
            ray.init(address, **quiet)
            counter.advance()
    except SystemExit:  # Ray raises it on SIGTERM while it starts
        raise KeyboardInterrupt from None
    except Exception as error:  # Ray raises ConnectionError, RuntimeError, ValueError
        raise ClusterError(f"Ray could not be started or reached: {error}") from error
    if callable(ours) and signal.getsignal(signal.SIGTERM) is not ours:
        signal.signal(signal.SIGTERM, ours)  # Ray's handler ends the process silently
    try:
        with collect_phases(current_listener()):
            up = (node.resources for node in nodes_up())
            yield count_slots(resources, *up, fit_grown=trials_when_grown(resources))
    finally:
        ray.shutdown()


class LostWorkerFilter(logging.Filter):
    """A log filter that drops Ray Tune's records of a lost worker: the search reports it itself."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is logged."""
        from ray.exceptions import RayActorError

        error = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
        # Tune reports a trial that was retried under another id as one that did not complete.
        return not (isinstance(error, RayActorError) or record.getMessage().startswith(INCOMPLETE))


def log_cluster_message(data: Mapping[str, Any], ignore_prefix: bool = False) -> None:
    """Log the first line of each cluster message, which Ray would print on stdout.

    The death of a node is logged as INFO only, because the search reports it with its trials.
    """
    for text in data["lines"]:
        level = logging.INFO if "marked dead" in text else logging.WARNING
        log.log(level, "Ray: %s", next(iter(text.strip().splitlines()), ""))


def _replace_ray_messages() -> None:
    """Replace Ray's tracebacks and stdout messages of lost workers and nodes with our own logs."""
    from ray._private import worker

    # Ray's log thread calls it; there is no public API.
    worker.print_to_stdstream = log_cluster_message
    for name in LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(one, LostWorkerFilter) for one in logger.filters):
            logger.addFilter(LostWorkerFilter())


def store_token() -> None:
    """Keep Ray's token in a file that only the user can read: Ray's own file is world-readable.

    Does nothing if the environment gives the token or turns it off. Raises ClusterError if the file
    cannot be written.
    """
    given = any(os.environ.get(name) for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"))
    if given or os.environ.get("RAY_AUTH_MODE", "").lower() != "token":
        return
    file = Path.home() / ".ray" / "auth_token"  # Ray's default
    try:
        create_private_file(file, secrets.token_hex(32))
    except OSError as error:
        raise ClusterError(f"{file}: Ray's token cannot be kept there ({error})") from error


def has_joined() -> bool:
    """Whether this process joined a running cluster; False if it started Ray itself."""
    import ray

    node = ray._private.worker._global_node
    return node is not None and not node.head


def on_this_node() -> Any:
    """Return the scheduling strategy that places work on this process's node."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return NodeAffinitySchedulingStrategy(this_node(), soft=False)


def count_slots(resources: Resources, *nodes: Amounts, fit_grown: int = 0) -> int:
    """Return how many trials run at a time on these nodes, at most `max_concurrent`.

    `fit_grown` is the number that fits once an autoscaler has grown the cluster. Raises
    ClusterError if no trial fits now or then.
    """
    fitting = trials_that_fit(resources, nodes)
    if fitting < 1 and fit_grown < 1:
        kinds = {amounts_text(node.get("CPU", 0), node.get("GPU", 0)) for node in nodes}
        amounts = amounts_text(resources.cpus_per_trial, resources.gpus_per_trial)
        raise ClusterError(
            f"no node can run a trial: a trial requests {amounts}, the nodes have "
            f"{', or '.join(sorted(kinds))}; lower resources.cpus_per_trial or "
            "resources.gpus_per_trial, or add a larger node"
        )
    return at_a_time(resources, fitting, fit_grown)


def as_completed(
    function: Callable[..., T],
    calls: Iterable[tuple[Any, ...]],
    resources: Resources,
    slots: int,
    stop: Callable[[], bool],
) -> Iterator[T]:
    """Run calls in Ray workers, `slots` at a time, and yield the results as they complete.

    A call that fails is logged and skipped, except that a WeightsError is raised: other pretrained
    weights were found. Running calls are cancelled then, and once `stop` returns True.
    """
    import ray

    task = ray.remote(num_cpus=resources.cpus_per_trial, num_gpus=resources.gpus_per_trial)
    relayed = task(relay_phases(function))
    later = deque(calls)
    waiting: list[Any] = []
    try:
        while (waiting or later) and not stop():
            while later and len(waiting) < slots:
                waiting.append(relayed.remote(*later.popleft()))
            ready, waiting = ray.wait(waiting, timeout=0.2)
            if ready:
                collect_now(current_listener())  # forward the workers' phases before their results
            for one in ready:
                try:
                    yield ray.get(one)
                except ray.exceptions.RayError as error:
                    if isinstance(cause := getattr(error, "cause", None), WeightsError):
                        raise cause from None
                    first = next(iter(str(error).splitlines()), type(error).__name__)
                    log.warning("a run failed and is left out: %s", first)
    finally:
        for one in waiting:
            ray.cancel(one, force=True)


def in_worker(function: Callable[..., T], *arguments: Any) -> T:
    """Call a function in a Ray worker, because the driver never imports TensorFlow.

    The worker is on the driver's node, even if that node takes no trials: only there the images are
    sure to exist. The worker is granted no GPU and sees none.
    """
    import ray

    task = ray.remote(max_calls=1, num_cpus=0, scheduling_strategy=on_this_node())
    result: T = wait_for_result(task(call_without_gpus).remote(relay_phases(function), *arguments))
    return result


def wait_for_result(reference: Any) -> Any:
    """Wait for a worker's result and return it; raises our own errors as the worker raised them."""
    import ray

    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, TlsearchError):
            raise error.cause from None
        raise
    finally:
        collect_now(current_listener())  # forward the worker's phases before its result


def call_without_gpus(function: Callable[..., T], *arguments: Any) -> T:
    """Call a function with all GPUs hidden, in a process that ends after the call."""
    hide_gpus()
    return function(*arguments)


def hide_gpus() -> None:
    """Hide all GPUs from this process; Ray does not hide them if it grants none."""
    os.environ["CUDA_VISIBLE_DEVICES"] = ""

"""The number of trials that fit on the nodes of a cluster, now and after autoscaling."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from tlsearch.config.schema import Resources

Amounts = Mapping[str, float]  # as Ray names them: CPU, GPU, ...


def amounts_text(cpus: float, gpus: float) -> str:
    """Return amounts in words, such as "2 CPUs and 1 GPU"."""
    named = ((cpus, "CPU"), (gpus, "GPU"))
    return " and ".join(f"{count:g} {kind}{'' if count == 1 else 's'}" for count, kind in named)


def on_node(resources: Resources, node: Amounts) -> int:
    """Return how many trials fit on one node; a fraction of a GPU never spans two GPUs."""
    fit = math.floor(node.get("CPU", 0) / resources.cpus_per_trial)
    share, gpus = resources.gpus_per_trial, node.get("GPU", 0)
    if not share:
        return fit
    on_gpus = math.floor(gpus / share) if share >= 1 else int(gpus) * math.floor(1 / share + 1e-9)
    return min(fit, on_gpus)


def trials_that_fit(resources: Resources, nodes: Iterable[Amounts]) -> int:
    """Return how many trials fit at a time, node by node, because no trial spans two nodes."""
    return sum(on_node(resources, node) for node in nodes)


def most_trials(resources: Resources, launched: Mapping[str, Any]) -> int:
    """Return how many trials fit once Ray's autoscaler has started every worker that it may.

    `launched` is the cluster launcher's configuration, with the resources of each node type.
    """
    bound = int(launched.get("max_workers", 0))
    rooms = []
    for name, kind in launched.get("available_node_types", {}).items():
        workers = min(bound, int(kind.get("max_workers", bound)))
        if name != launched.get("head_node_type"):
            rooms += [on_node(resources, kind.get("resources", {}))] * workers
    return sum(sorted(rooms, reverse=True)[:bound])


def at_a_time(resources: Resources, fit_now: int, fit_grown: int = 0) -> int:
    """Return how many trials to run at a time: at least one, at most `max_concurrent`.

    If the cluster can grow to `fit_grown` trials, the number is up to twice `fit_now`. The trials
    without room stay pending, and Ray starts nodes for pending trials. So a cluster doubles until
    it is full, and a cluster without workers starts its first one.
    """
    room = max(1, fit_now, min(fit_grown, 2 * fit_now))
    wanted = resources.max_concurrent
    return room if wanted == "auto" else min(room, wanted)

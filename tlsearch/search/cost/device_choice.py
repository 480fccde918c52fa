"""The device profile of a study: chosen once for the devices of its workers, then recorded."""

import dataclasses
import logging
import os
from collections.abc import Callable, Mapping
from typing import Any

from tlsearch.base.errors import StudyError, last_line
from tlsearch.base.gpus import Gpu, describe_gpus
from tlsearch.config.device import DeviceProfile, chosen_profile
from tlsearch.config.schema import SearchConfig
from tlsearch.results.record.directory import StudyDirectory, package_versions
from tlsearch.search.cluster.nodes import nodes_up, this_node
from tlsearch.search.cluster.preflight import ANSWER_S, on_every
from tlsearch.search.cost.calibration import (
    ask_subprocess,
    digest_of,
    prefix_depths,
    recall,
    remember,
)

PROBE = "tlsearch.training.probe"

Answer = Callable[[str, Mapping[str, object]], dict[str, Any]]

log = logging.getLogger(__name__)


def chosen_device(config: SearchConfig, home: StudyDirectory) -> DeviceProfile:
    """Return the device profile of a study's trials.

    A resumed study keeps its recorded profile, with a warning if its workers have other devices
    now. For a new study, the profile is chosen for the devices in Ray's cluster and measured on one
    of them. Raises ClusterError if a trial's share of a GPU is too small to train in.
    """
    now = _choose(config, _gpus_of_nodes() if config.resources.gpus_per_trial else None)
    if home.study_file.exists():
        known = home.device()
        if (known.kind, known.names) != (now.kind, now.names):
            log.warning(
                "the study began on %s and continues on %s: its trials compute as on the former, "
                "so that they can be ranked together",
                *(_devices(known), _devices(now)),
            )
        return known
    return _measured_or_remembered(config, now, _in_granted_worker(config))


def device_here(config: SearchConfig) -> DeviceProfile:
    """Return the device profile that the trials of a search would have on this machine alone."""
    gpus = _gpus_here() if config.resources.gpus_per_trial else None
    return _measured_or_remembered(config, _choose(config, gpus), ask_subprocess)


def _choose(config: SearchConfig, gpus: tuple[Gpu, ...] | None) -> DeviceProfile:
    share = config.resources.gpus_per_trial
    return chosen_profile(config.precision, config.jit, config.space.backbone.values, gpus, share)


def _devices(profile: DeviceProfile) -> str:
    return (", ".join(profile.names) or "GPUs") if profile.has_memory else "CPUs"


def _gpus_here() -> tuple[Gpu, ...]:
    """Return the GPUs of this machine that Ray may use: CUDA_VISIBLE_DEVICES may hide some."""
    return describe_gpus(os.environ.get("CUDA_VISIBLE_DEVICES"))


def _gpus_of_nodes() -> tuple[Gpu, ...]:
    """Return the GPUs of all nodes that trials may run on, without nodes that do not answer."""
    nodes = [node for node in nodes_up() if node.resources.get("GPU") and not node.leaving]
    if {node.id for node in nodes} <= {this_node()}:
        return _gpus_here() if nodes else ()
    answers = on_every(dict.fromkeys(nodes, (describe_gpus,)), ANSWER_S).values()
    return tuple(gpu for answer in answers if isinstance(answer, tuple) for gpu in answer)


def _measured_or_remembered(
    config: SearchConfig, profile: DeviceProfile, answer: Answer
) -> DeviceProfile:
    """Return the profile with measurements of its GPU, which are remembered under the cache.

    The profile stays unchanged for CPUs, and for GPUs of different models, because a measurement of
    one model is not valid for the others.
    """
    if len(profile.names) != 1:
        return profile
    names = config.space.backbone.values
    request = {
        "backbones": names,
        "image_px": config.data.image_px,
        "depths": {name: max(prefix_depths(config, name)).layers for name in names},
        "compare": config.jit == "auto",
        "threads": config.resources.cpus_per_trial,
        "gpus": config.resources.gpus_per_trial,
        "device": profile.to_json(),
    }
    key = f"device {digest_of([request, sorted(package_versions().items())])}"
    remembered = _apply_measurement(profile, recall(config.cache_path).get(key))
    if remembered is not None:
        return remembered
    try:
        found = answer(PROBE, request)
    except StudyError as error:
        log.warning("%s: the GPU could not be measured and is used with default settings", error)
        return profile
    remember(config.cache_path, {key: found})
    return _apply_measurement(profile, found) or profile


def _apply_measurement(profile: DeviceProfile, measured: Any) -> DeviceProfile | None:
    """Return the profile with a measurement; None if the measurement is missing or damaged."""
    try:
        rows = tuple((str(name), int(rows)) for name, rows in measured["pass_rows"].items())
        jit = (*profile.jit, *map(str, measured["jit"]))
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
    return dataclasses.replace(profile, pass_rows=rows, jit=jit)


def _in_granted_worker(config: SearchConfig) -> Answer:
    """Return a function that runs a module in a Ray worker with the resources of a trial."""

    def answer(module: str, request: Mapping[str, object]) -> dict[str, object]:
        import ray

        granted = {
            "num_cpus": config.resources.cpus_per_trial,
            "num_gpus": config.resources.gpus_per_trial,
        }
        try:
            found: dict[str, Any] = ray.get(
                ray.remote(**granted)(ask_subprocess).remote(module, request)
            )
        except ray.exceptions.RayError as error:
            raise StudyError(last_line(str(error), type(error).__name__)) from error
        return found

    return answer

"""Measure briefly how fast this machine trains backbones, in a separate process.

Reads a `CalibrationRequest` as JSON from stdin and writes one line of JSON to stdout.
"""

import json
import resource
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from tlsearch.config.augmentation import Augment
from tlsearch.config.device import CPU_PROFILE, DeviceProfile
from tlsearch.config.networks.lookup import row_of
from tlsearch.config.networks.unfreezing import Depth
from tlsearch.config.trial_config import TrialConfig
from tlsearch.pace import Pace, Suffix
from tlsearch.training.epoch.executor import Executor
from tlsearch.training.frozen.prefix import fetch_arrays, frozen_pass
from tlsearch.training.frozen.views import View
from tlsearch.training.network.backbone import LoadedBackbone, load_backbone
from tlsearch.training.network.model import Network, parameter_count
from tlsearch.training.network.multiply_adds import forward_multiply_adds
from tlsearch.training.probe import first_and_steady, random_rows, start_loop, step_of
from tlsearch.training.runtime import apply_profile, limit_resources
from tlsearch.training.work_done import Price

MEASURED = 4  # backbones; the others are scaled from the first by their multiply-adds
STEP_COST = 2e10  # at most so many multiply-adds per measured step: one second on a slow core
BATCH = 32


@dataclass(frozen=True)
class CalibrationRequest:
    """The backbones to time, with the settings of their trials. The weights are random, since only
    speed is measured.
    """

    backbones: tuple[str, ...]
    image_px: int
    depths: Mapping[str, tuple[Depth, ...]]
    classes: int
    head_units: tuple[int, ...]
    optimizer: str
    feature_dtype: str
    threads: int
    augment: dict[str, Any]
    began: float
    gpus: float = 0.0
    device: DeviceProfile = CPU_PROFILE


def measure(request: CalibrationRequest) -> dict[str, object]:
    """Return the paces by backbone, the start-up time and the memory of this process, as plain
    values.
    """
    started = time.time() - request.began
    limit_resources(request.threads, request.gpus)
    apply_profile(request.device)
    paces: dict[str, Pace] = {}
    alike: dict[tuple[object, ...], str] = {}
    for name in request.backbones:
        row = row_of(name)
        same = alike.setdefault((row.build, *row.options.items()), name)
        like = None if len(alike) <= MEASURED else next(iter(paces.values()))
        paces[name] = paces[same] if same in paces else _pace(name, request, like)
    return {
        "paces": {name: asdict(pace) for name, pace in paces.items()},
        "start_s": started,
        "memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "resident_bytes": request.device.resident_bytes,
        "augment_s": _augment_seconds(request),
    }


def _augment_seconds(request: CalibrationRequest) -> float:
    """Return the seconds that augmenting one image takes."""
    augment = Augment(**request.augment)
    if augment.is_off:
        return 0.0
    images = random_rows((BATCH, request.image_px, request.image_px, 3), "uint8")
    view = View(images, augment, 0, 1)
    return first_and_steady(lambda: view[:], len(view))[1]


def _pace(name: str, request: CalibrationRequest, like: Pace | None) -> Pace:
    """Return the pace of one backbone: measured, or scaled from `like` by multiply-adds."""
    depths = request.depths[name]
    executor = Executor(((name, depths),), request.device)
    began = time.perf_counter()
    backbone = load_backbone(name, "none", request.image_px, "gap", request.device.precision)
    built_s = time.perf_counter() - began
    whole = forward_multiply_adds(backbone.model.layers)
    likes = [None] * len(depths) if like is None else like.suffixes
    suffixes = [
        _suffix(name, request, depth, executor, whole, other)
        for depth, other in zip(depths, likes, strict=True)
    ]
    first, steady = _pass(backbone, request) if like is None else _scaled_pass(like, whole)
    load_backbone.cache_clear()
    return Pace(whole, steady, first + built_s, tuple(suffixes))


def _scaled_pass(like: Pace, whole: int) -> tuple[float, float]:
    return like.trace_s, like.pass_s * whole / max(1, like.multiply_adds)


def _pass(backbone: LoadedBackbone, request: CalibrationRequest) -> tuple[float, float]:
    """Return the extra seconds of the first frozen pass to every cut, and the seconds per image of
    later ones.
    """
    sections = [backbone.sections(depth) for depth in request.depths[backbone.row.name]]
    outputs = [s.prefix.output for s in sections if not s.from_images]
    device, name = request.device, backbone.row.name
    rows = device.rows_of_pass(name, 3 * request.image_px**2)
    count = _count(forward_multiply_adds(backbone.model.layers), rows)
    images = random_rows((count, request.image_px, request.image_px, 3), "uint8")
    run = frozen_pass(backbone, outputs, images, rows if device.compiles(name) else None)
    return first_and_steady(lambda: fetch_arrays(run(images)), count)


def _suffix(
    name: str,
    request: CalibrationRequest,
    depth: Depth,
    executor: Executor,
    whole: int,
    like: Suffix | None,
) -> Suffix:
    network = executor.network(_trial(name, request, depth), request.classes)
    sections, price = network.sections, Price.of(network)
    counted = Suffix(
        depth=depth,
        cut_name=sections.name,
        from_images=sections.from_images,
        numbers=int(np.prod(sections.source.shape[1:])),
        share=price.prefix / max(1, whole),
        cost=price.epoch(1, 0),
        trained=parameter_count(network.trainable_variables()),
        train_s=0.0,
        predict_s=0.0,
        trace_s=0.0,
    )
    if like is not None:
        return _scale_times(counted, like)
    return _with_times(counted, network, executor, request)


def _scale_times(counted: Suffix, like: Suffix) -> Suffix:
    ratio = counted.cost / max(1, like.cost)
    return replace(
        counted,
        train_s=like.train_s * ratio,
        predict_s=like.predict_s * ratio,
        trace_s=like.trace_s,
    )


def _with_times(
    counted: Suffix, network: Network, executor: Executor, request: CalibrationRequest
) -> Suffix:
    """Return `counted` with the measured times of training and prediction."""
    count = _count(counted.cost, BATCH)
    jit = request.device.compiles(network.backbone.row.name)
    loop, rows = start_loop(executor, network, count, request.feature_dtype, request.optimizer, jit)
    training, train_s = first_and_steady(step_of(loop, rows), count)
    predicting, predict_s = first_and_steady(lambda: loop.predict(rows), count)
    return replace(counted, train_s=train_s, predict_s=predict_s, trace_s=training + predicting)


def _trial(name: str, request: CalibrationRequest, depth: Depth) -> TrialConfig:
    return TrialConfig(
        backbone=name,
        weights="none",
        **depth.to_json(),
        **{depth.rate: 1e-4},
        head_units=request.head_units,
        image_px=request.image_px,
        optimizer=request.optimizer,
        precision=request.device.precision,
    )


def _count(cost: int, most: int) -> int:
    """Return how many images to use, so that one step stays short."""
    return max(2, min(most, int(STEP_COST / max(1, cost))))


def _read(plain: dict[str, Any]) -> CalibrationRequest:
    tuples = {key: tuple(plain[key]) for key in ("backbones", "head_units")}
    depths = {name: tuple(map(Depth, found)) for name, found in plain["depths"].items()}
    device = DeviceProfile.of(plain["device"])
    return CalibrationRequest(**{**plain, **tuples, "depths": depths, "device": device})


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure(_read(json.load(sys.stdin)))) + "\n")

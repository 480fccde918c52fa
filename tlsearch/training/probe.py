"""Measure the fastest settings of a device in a separate process: the number of images per step of
a frozen pass, and whether XLA pays off.

Reads a `ProbeRequest` as JSON from stdin and writes one line of JSON to stdout.
"""

import dataclasses
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from tlsearch.config.device import DeviceProfile, doubling_search, xla_pays
from tlsearch.config.networks.unfreezing import Depth, Unfrozen
from tlsearch.config.trial_config import TrialConfig
from tlsearch.training.epoch.executor import Executor, out_of_memory
from tlsearch.training.epoch.loop import Loop
from tlsearch.training.epoch.prediction import Array
from tlsearch.training.frozen.prefix import fetch_arrays, frozen_pass
from tlsearch.training.network.backbone import LoadedBackbone, load_backbone
from tlsearch.training.network.model import Network
from tlsearch.training.runtime import apply_profile, limit_resources

BATCH = 32
CLASSES = 10


@dataclass(frozen=True)
class ProbeRequest:
    """The backbones to time, each with the greatest depth of its trials, in layers. The weights are
    random, since only speed is measured. With `compare` the backbones are timed both with and
    without XLA.
    """

    backbones: Sequence[str]
    image_px: int
    depths: Mapping[str, Unfrozen]
    compare: bool
    threads: int
    gpus: float
    device: Mapping[str, object]


def probe(request: ProbeRequest) -> dict[str, object]:
    """Return the rows per step of the frozen pass by backbone, and the backbones that are faster
    with XLA, as plain values.
    """
    device = DeviceProfile.of(request.device)
    limit_resources(request.threads, request.gpus)
    apply_profile(device)
    found: dict[str, Any] = {"pass_rows": {}, "jit": []}
    for name in request.backbones:
        backbone = load_backbone(name, "none", request.image_px, "gap", device.precision)
        rows = found["pass_rows"][name] = pass_rows(
            backbone, request.image_px, device.compiles(name)
        )
        if request.compare and xla_pays(*_seconds(name, rows, request, device)):
            found["jit"].append(name)
        load_backbone.cache_clear()
    return found


def pass_rows(backbone: LoadedBackbone, image_px: int, jit: bool) -> int:
    """Return how many images per step are fastest in a frozen pass of a backbone on this device."""
    output = backbone.sections(Depth(0)).prefix.output

    def speed(rows: int) -> float | None:
        images = random_rows((rows, image_px, image_px, 3), "uint8")
        run = frozen_pass(backbone, [output], images, rows if jit else None)
        try:
            return 1 / first_and_steady(lambda: fetch_arrays(run(images)), rows)[1]
        except tf.errors.OpError as error:
            if not out_of_memory(error):
                raise
            return None

    return doubling_search(speed)


def _seconds(
    name: str, rows: int, request: ProbeRequest, device: DeviceProfile
) -> tuple[float, float]:
    """Return the seconds per image, frozen pass plus training step, without XLA and with XLA."""
    plain = dataclasses.replace(device, jit=(), pass_rows=((name, rows),))
    both = [
        _image_s(name, request, one) for one in (plain, dataclasses.replace(plain, jit=(name,)))
    ]
    return both[0], both[1]


def _image_s(name: str, request: ProbeRequest, device: DeviceProfile) -> float:
    executor, px = Executor((), device), request.image_px
    jit, depth = device.compiles(name), Depth(request.depths[name])
    backbone = load_backbone(name, "none", px, "gap", device.precision)
    rows = device.rows_of_pass(name, 3 * px * px)
    images = random_rows((rows, px, px, 3), "uint8")
    run = frozen_pass(
        backbone, [backbone.sections(Depth(0)).prefix.output], images, rows if jit else None
    )
    passing = first_and_steady(lambda: fetch_arrays(run(images)), rows)[1]
    trial = TrialConfig(
        backbone=name,
        weights="none",
        image_px=px,
        precision=device.precision,
        **depth.to_json(),
        **{depth.rate: 1e-4},
    )
    network = executor.network(trial, CLASSES)
    loop, features = start_loop(executor, network, BATCH, "f2", "adam", jit)
    return passing + first_and_steady(step_of(loop, features), BATCH)[1]


def start_loop(
    executor: Executor, network: Network, count: int, feature_dtype: str, optimizer: str, jit: bool
) -> tuple[Loop, Array]:
    """Return the compiled epoch of a network, ready to train, and `count` random rows for it."""
    sections = network.sections
    dtype = "uint8" if sections.from_images else feature_dtype
    rows = random_rows((count, *sections.source.shape[1:]), dtype)
    loop = executor.loop(network.trained_part, rows, optimizer, jit=jit)
    loop.begin(1e-4, 0.0)
    return loop, rows


def first_and_steady(run: Callable[[], object], count: int) -> tuple[float, float]:
    """Return the extra seconds of the first call, and the seconds per image of later calls with
    `count` images.
    """
    times = []
    for _ in range(3):
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
    steady = min(times[1:])
    return max(0.0, times[0] - steady), steady / count


def step_of(loop: Loop, rows: Array) -> Callable[[], object]:
    """Return a function that trains one step on all of `rows`."""
    labels, order = np.zeros(len(rows), np.int32), np.arange(len(rows))
    return lambda: loop.train(rows, labels, order, len(rows), 0)


def random_rows(shape: Sequence[int | None], dtype: str) -> tf.Tensor:
    """Return rows of random numbers, with 1 for each unknown dimension."""
    numbers = np.random.default_rng(0).integers(0, 256, [x or 1 for x in shape], dtype=np.uint8)
    return numbers if dtype == "uint8" else (numbers / 256).astype(dtype)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(probe(ProbeRequest(**json.load(sys.stdin)))) + "\n")

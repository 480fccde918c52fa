"""What a device is fastest with, measured in a process of its own: the images that a frozen pass
takes at a time, and whether XLA pays.

Reads what is asked as JSON from stdin and answers with a line of JSON on stdout.
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

from tlsearch.config.device import DeviceProfile, doubled, xla_pays
from tlsearch.config.networks.unfreezing import Depth, Unfrozen
from tlsearch.config.trial_config import TrialConfig
from tlsearch.training.epoch.executor import Executor, out_of_memory
from tlsearch.training.epoch.loop import Loop
from tlsearch.training.epoch.prediction import Array
from tlsearch.training.frozen.prefix import fetched, frozen_pass
from tlsearch.training.network.backbone import LoadedBackbone, load_backbone
from tlsearch.training.runtime import apply, limit_threads

BATCH = 32
CLASSES = 10


@dataclass(frozen=True)
class ProbeRequest:
    """What to measure: backbones with their weights random, since only time matters, each with the
    greatest depth of its trials, in layers. With `compare` they are timed with XLA and without it.
    """

    backbones: Sequence[str]
    image_px: int
    depths: Mapping[str, Unfrozen]
    compare: bool
    threads: int
    gpus: float
    device: Mapping[str, object]


def probe(asked: ProbeRequest) -> dict[str, object]:
    """Rows of a pass by backbone, and the backbones that are faster with XLA, as plain values."""
    device = DeviceProfile.of(asked.device)
    limit_threads(asked.threads, asked.gpus)
    apply(device)
    found: dict[str, Any] = {"pass_rows": {}, "jit": []}
    for name in asked.backbones:
        backbone = load_backbone(name, "none", asked.image_px, "gap", device.precision)
        rows = found["pass_rows"][name] = pass_rows(backbone, asked.image_px, device.compiles(name))
        if asked.compare and xla_pays(*_seconds(name, rows, asked, device)):
            found["jit"].append(name)
        load_backbone.cache_clear()
    return found


def pass_rows(backbone: LoadedBackbone, image_px: int, jit: bool) -> int:
    """How many images a frozen pass of a backbone takes at a time on this device."""
    output = backbone.sections(Depth(0)).prefix.output

    def speed(rows: int) -> float | None:
        images = random_rows((rows, image_px, image_px, 3), "uint8")
        run = frozen_pass(backbone, [output], images, rows if jit else None)
        try:
            return 1 / first_and_steady(lambda: fetched(run(images)), rows)[1]
        except tf.errors.OpError as error:
            if not out_of_memory(error):
                raise
            return None

    return doubled(speed)


def _seconds(
    name: str, rows: int, asked: ProbeRequest, device: DeviceProfile
) -> tuple[float, float]:
    """Seconds of an image in the frozen pass and in a step of training, without XLA and with it."""
    plain = dataclasses.replace(device, jit=(), pass_rows=((name, rows),))
    both = [_image_s(name, asked, one) for one in (plain, dataclasses.replace(plain, jit=(name,)))]
    return both[0], both[1]


def _image_s(name: str, asked: ProbeRequest, device: DeviceProfile) -> float:
    executor, px = Executor((), device), asked.image_px
    jit, depth = device.compiles(name), Depth(asked.depths[name])
    backbone = load_backbone(name, "none", px, "gap", device.precision)
    rows = device.rows_of_pass(name, 3 * px * px)
    images = random_rows((rows, px, px, 3), "uint8")
    run = frozen_pass(
        backbone, [backbone.sections(Depth(0)).prefix.output], images, rows if jit else None
    )
    passing = first_and_steady(lambda: fetched(run(images)), rows)[1]
    trial = TrialConfig(
        backbone=name,
        weights="none",
        image_px=px,
        precision=device.precision,
        **depth.to_json(),
        **{depth.rate: 1e-4},
    )
    network = executor.network(trial, CLASSES)
    sections = network.sections
    source = sections.prefix.input if sections.from_images else sections.prefix.output
    features = random_rows((BATCH, *source.shape[1:]), "uint8" if sections.from_images else "f2")
    loop = executor.loop(network.head if trial.frozen else network, features, "adam", jit=jit)
    loop.begin(1e-4, 0.0)
    return passing + first_and_steady(step_of(loop, features), BATCH)[1]


def first_and_steady(run: Callable[[], object], count: int) -> tuple[float, float]:
    """Seconds that only the first call takes; seconds for one of its `count` images later on."""
    times = []
    for _ in range(3):
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
    steady = min(times[1:])
    return max(0.0, times[0] - steady), steady / count


def step_of(loop: Loop, rows: Array) -> Callable[[], object]:
    """One step of training over all of some rows."""
    labels, order = np.zeros(len(rows), np.int32), np.arange(len(rows))
    return lambda: loop.train(rows, labels, order, len(rows), 0)


def random_rows(shape: Sequence[int | None], dtype: str) -> tf.Tensor:
    """Rows of random numbers."""
    numbers = np.random.default_rng(0).integers(0, 256, [x or 1 for x in shape], dtype=np.uint8)
    return numbers if dtype == "uint8" else (numbers / 256).astype(dtype)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(probe(ProbeRequest(**json.load(sys.stdin)))) + "\n")

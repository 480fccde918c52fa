"""Whether two trainings at the same time slow each other down, compared with one.

    python tests/benchmarks/side_by_side.py DATA [--images 400] [--epochs 8]

Each process has one core. It multiplies matrices that fit into its cache, copies memory, and trains
the last 40 layers of MobileNetV2 on cached features. The table shows the seconds and the CPU
seconds of the slower process; for training, those of the median epoch from the second on.
"""

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from machine import about
from pictures import linked

if TYPE_CHECKING:
    from tlsearch.data.sources import ImageData
    from tlsearch.training.trial import EpochReport

BACKBONE, LAYERS, BATCH, PX = "mobilenet_v2", 40, 32, 224
Seconds = tuple[float, float]  # wall-clock time, and CPU time


def main() -> None:
    arguments = _arguments()
    if arguments.child is not None:
        print(json.dumps(WORK[arguments.child](arguments)))
        return
    machine = about()["machine"]
    print(f"{machine['processor']}, {machine['cores']} cores")
    print(f"{'':22}{'one':>14}{'two':>16}\n{'':22}" + 2 * "      s   CPU s ")
    with tempfile.TemporaryDirectory(prefix="side-by-side-") as folder:
        arguments.data = linked(arguments.data, Path(folder) / "in", arguments.images, seed=0)
        for name in WORK:
            cells = [_slowest(name, count, arguments, Path(folder)) for count in (1, 2)]
            print(f"{name:22}" + "".join(f"{wall:7.2f} {cpu:7.2f} " for wall, cpu in cells))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--child", choices=WORK, help=argparse.SUPPRESS)
    parser.add_argument("--cache", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def _slowest(name: str, count: int, arguments: argparse.Namespace, folder: Path) -> Seconds:
    words = [sys.executable, __file__, arguments.data, "--epochs", arguments.epochs]
    words += ["--child", name, "--cache", folder / "cache"]
    quiet = os.environ | {"OPENBLAS_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    processes = [
        subprocess.Popen([*map(str, words)], env=quiet, stdout=subprocess.PIPE, text=True)
        for _ in range(count)
    ]
    lines = [process.communicate()[0].splitlines()[-1] for process in processes]
    wall, cpu = max(json.loads(line) for line in lines)
    return wall, cpu


def _timed(work: Callable[[], object], times: int) -> Seconds:
    began = time.perf_counter(), time.process_time()
    for _ in range(times):
        work()
    return time.perf_counter() - began[0], time.process_time() - began[1]


def _multiply(arguments: argparse.Namespace) -> Seconds:
    a = np.random.default_rng(0).random((192, 192), np.float32)
    return _timed(lambda: a @ a, 12_000)


def _copy(arguments: argparse.Namespace) -> Seconds:
    a = np.ones(40_000_000, np.float32)
    b = a.copy()
    return _timed(lambda: np.copyto(b, a), 60)


def _train(arguments: argparse.Namespace) -> Seconds:
    _, reports = training(arguments.data, arguments.cache, arguments.epochs, BATCH)
    ends = [(time.perf_counter(), time.process_time()) for report in reports if report.epoch >= 1]
    gaps = [(b[0] - a[0], b[1] - a[1]) for a, b in itertools.pairwise(ends)]
    return sorted(gaps)[len(gaps) // 2]


def training(
    folder: Path, cache: Path, epochs: int, batch: int
) -> "tuple[ImageData, Iterator[EpochReport]]":
    """Return the images and the epochs of a training of the last layers on one thread."""
    from tlsearch.config.dataset import Data, Splits
    from tlsearch.config.trial_config import TrialConfig
    from tlsearch.data.sources import prepare
    from tlsearch.features import FeatureStore
    from tlsearch.training.runtime import limit_resources

    limit_resources(1)
    from tlsearch.training.trial import train

    trial = TrialConfig(
        backbone=BACKBONE,
        weights="default",
        unfrozen_layers=LAYERS,
        optimizer="adam",
        head_lr=1e-3,
        fine_tune_lr=1e-4,
        batch_size=batch,
        image_px=PX,
        epochs=epochs,
        feature_dtype="float16",
    )
    data = prepare(Data(path=folder, image_px=PX, splits=Splits()), cache)
    return data, train(trial, data, FeatureStore(cache / "features", "float16"))


WORK: dict[str, Callable[[argparse.Namespace], Seconds]] = {
    "matrices in the cache": _multiply,
    "copies of 160 MB": _copy,
    "epochs of 40 layers": _train,
}


if __name__ == "__main__":
    main()

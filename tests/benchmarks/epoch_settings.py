"""How the settings of the libraries below change the time of an epoch that trains layers.

    python tests/benchmarks/epoch_settings.py DATA [--images 400] [--epochs 8] [--rounds 3]

A row trains the last 40 layers of MobileNetV2 on cached features, on one thread, in a process of
its own, with another batch size or another environment. The rows take turns, and the best of the
rounds counts, since other load only slows them. `s` is the median epoch from the third on,
`system s` its CPU time in the kernel, `faults` its page faults, and GFlop/s its multiply-adds, each
one counted twice, per second.
"""

import argparse
import itertools
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from machine import about
from pictures import linked
from side_by_side import BACKBONE, BATCH, LAYERS, PX, training

KEPT = {"MALLOC_MMAP_THRESHOLD_": str(2**32), "MALLOC_TRIM_THRESHOLD_": str(2**32)}
ROWS: dict[str, tuple[int, dict[str, str]]] = {
    "as it is": (BATCH, {}),
    "batches of 16": (16, {}),
    "batches of 64": (64, {}),
    "freed memory is kept": (BATCH, KEPT),
    "oneDNN keeps no primitives": (BATCH, {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "0"}),
    "without oneDNN": (BATCH, {"TF_ENABLE_ONEDNN_OPTS": "0"}),
}
Measures = list[float]  # seconds, seconds in the kernel, page faults, GFlop/s


def main() -> None:
    arguments = _arguments()
    if arguments.batch is not None:
        print(json.dumps(_train(arguments)))
        return
    machine = about()["machine"]
    print(f"{machine['processor']}, {machine['cores']} cores")
    with tempfile.TemporaryDirectory(prefix="epoch-settings-") as folder:
        arguments.data = linked(arguments.data, Path(folder) / "in", arguments.images, seed=0)
        rounds = [
            {name: _child(name, arguments, Path(folder)) for name in ROWS}
            for _ in range(arguments.rounds)
        ]
    print(f"{'':28}{'s':>6}{'system s':>10}{'faults':>8}{'GFlop/s':>9}")
    for name in ROWS:
        seconds, system_s, faults, speed = min(one[name] for one in rounds)
        print(f"{name:28}{seconds:6.2f}{system_s:10.2f}{faults:8.0f}{speed:9.1f}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--cache", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def _child(name: str, arguments: argparse.Namespace, folder: Path) -> Measures:
    """Train one row in a process of its own."""
    batch, settings = ROWS[name]
    words = [sys.executable, __file__, arguments.data, "--epochs", arguments.epochs]
    words += ["--batch", batch, "--cache", folder / "cache"]
    quiet = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"} | settings
    done = subprocess.run(
        [*map(str, words)], env=quiet, check=True, stdout=subprocess.PIPE, text=True
    )
    measures: Measures = json.loads(done.stdout.splitlines()[-1])
    return measures


def _train(arguments: argparse.Namespace) -> Measures:
    data, reports = training(arguments.data, arguments.cache, arguments.epochs, arguments.batch)
    ends = [_used() for report in reports if report.epoch >= 2]
    gaps = [[b - a for a, b in zip(*pair, strict=True)] for pair in itertools.pairwise(ends)]
    seconds, system_s, faults = (statistics.median(column) for column in zip(*gaps, strict=True))
    from costs import costs

    cost = costs(BACKBONE, LAYERS, 0, len(data.classes), PX)
    trained = len(data.images("train")) * (cost.suffix + 2 * cost.trained)
    flops = 2 * (trained + len(data.images("validation")) * cost.suffix)
    return [seconds, system_s, faults, flops / seconds / 1e9]


def _used() -> tuple[float, float, float]:
    """Return the wall-clock time, and this process's time in the kernel and page faults so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return time.perf_counter(), usage.ru_stime, float(usage.ru_minflt)


if __name__ == "__main__":
    main()

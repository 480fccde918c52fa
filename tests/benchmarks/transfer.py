"""Features computed against features fetched from another process through Ray's object store.

    python tests/benchmarks/transfer.py [--json OUT]

Prints images a second: what one frozen pass on one core makes of MobileNetV2 0.35 (224 px, random
weights, as they cost the same), and what two cuts of it come to when they are sent block by block
and written to disk, on this machine: a network between two nodes can only be slower, hence the
share of a gigabit that they would take.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
from machine import about

from tlsearch.config.schema import Resources
from tlsearch.search.cluster import connect, in_worker
from tlsearch.search.delivery import Delivery, Desk

CUTS = {"pooled": (1280,), "block_12_add": (14, 14, 32)}
ROWS = 4096
GIGABIT = 125e6  # bytes a second


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with connect(Resources()):
        found = {"pass": in_worker(passed)} | {name: sent(shape) for name, shape in CUTS.items()}
    print(f"one pass: {found['pass']:.0f} images/s")
    for name, shape in CUTS.items():
        full = GIGABIT / (2 * np.prod(shape))
        print(f"{name}: {found[name]:.0f} rows/s sent, {full:.0f}/s fill a gigabit")
    if arguments.json is not None:
        text = json.dumps({**about(), "images_per_s": found}, indent=2)
        arguments.json.write_text(text + "\n")


def passed(images: int = 256) -> float:
    """Images a second of a frozen pass, in a process of its own, on one core."""
    from tlsearch.training.runtime import limit_threads

    limit_threads(1)
    from tlsearch.training.backbone import load_backbone

    model = load_backbone("mobilenet_v2_035", "none", 224).model
    batch = np.zeros((64, 224, 224, 3), np.float32)
    model.predict_on_batch(batch)
    began = time.perf_counter()
    for _ in range(images // len(batch)):
        model.predict_on_batch(batch)
    return images / (time.perf_counter() - began)


def sent(shape: tuple[int, ...]) -> float:
    """Rows a second of float16 features, from a desk to a file."""
    import ray

    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source.npy"
        rows = np.random.default_rng(0).random((ROWS, *shape)).astype(np.float16)
        np.save(source, rows)
        desk = ray.remote(num_cpus=0)(Desk).remote(source)
        ray.get(desk.rows.remote(0, 1))
        fetch = Delivery(desk, ROWS, rows.nbytes // ROWS)
        began = time.perf_counter()
        ray.get(ray.remote(num_cpus=1)(lambda: fetch(Path(folder) / "copy.npy")).remote())
        return ROWS / (time.perf_counter() - began)


if __name__ == "__main__":
    main()

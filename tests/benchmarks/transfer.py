"""Compare computing features with fetching them from another process over Ray's object store.

    python tests/benchmarks/transfer.py [--backbones NAMES] [--images N] [--json OUT]

For each backbone and cut: images per second of a frozen pass on one core, with random weights,
which cost the same; rows per second from the file actor of another process
(`tlsearch/search/cluster/node_files.py`) to an array on disk; and the rows that would fill a
gigabit per second, since a network between two nodes is slower than this machine's memory. Fetching
is cheaper where both of the latter exceed the first.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from machine import about

from tlsearch.config.networks.unfreezing import Depth
from tlsearch.config.schema import Resources
from tlsearch.features import Activation, FeatureKey, FeatureStore
from tlsearch.search.cluster.array_transfer import Fetched
from tlsearch.search.cluster.node_files import NodeFiles
from tlsearch.search.cluster.ray_session import connect, in_worker

GIGABIT = 125e6  # bytes per second
PX = 224
CUTS = (0, 15, 40)  # the number of unfrozen layers after each
KEY = FeatureKey("weights", "cut", "tf", PX, "float16", "images")


def main() -> None:
    arguments = _arguments()
    with connect(Resources()):
        rows = [
            {"backbone": name, **row, "fetched_per_s": fetched(row["shape"], arguments.images)}
            for name in arguments.backbones
            for row in in_worker(passed, name)
        ]
    print(f"{'backbone':18}{'last':>5} {'bytes':>7} {'computed/s':>11} {'fetched/s':>10} a gigabit")
    for row in rows:
        size = 2 * int(np.prod(row["shape"]))
        print(
            f"{row['backbone']:18}{row['unfrozen']:5} {size:7} {row['computed_per_s']:11.1f} "
            f"{row['fetched_per_s']:10.1f} {GIGABIT / size:9.0f}"
        )
    if arguments.json is not None:
        arguments.json.write_text(json.dumps({**about(), "rows": rows}, indent=2) + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = ["mobilenet_v2_035", "mobilenet_v2"]
    parser.add_argument("--backbones", type=lambda text: text.split(","), default=names)
    parser.add_argument("--images", type=int, default=1024)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def passed(name: str, images: int = 128) -> list[dict[str, Any]]:
    """Return images per second of the frozen pass to each cut, on one core, in its own process."""
    from tlsearch.training.runtime import limit_resources

    limit_resources(1)
    from tlsearch.training.epoch.prediction import run_blocks
    from tlsearch.training.frozen.prefix import frozen_pass
    from tlsearch.training.network.backbone import load_backbone

    pixels = np.zeros((images, PX, PX, 3), np.uint8)
    backbone, rows = load_backbone(name, "none", PX), []
    for unfrozen in CUTS:
        prefix = backbone.sections(Depth(unfrozen)).prefix
        run = frozen_pass(backbone, [prefix.output], pixels)
        run_blocks(run, pixels)
        began = time.perf_counter()
        run_blocks(run, pixels)
        rate = images / (time.perf_counter() - began)
        shape = tuple(prefix.output.shape[1:])
        rows.append({"unfrozen": unfrozen, "shape": shape, "computed_per_s": rate})
    return rows


def fetched(shape: tuple[int, ...], images: int) -> float:
    """Return rows per second of such features, from another process to an array on disk."""
    import ray

    with tempfile.TemporaryDirectory() as folder:
        here, there = Path(folder) / "here", Path(folder) / "there"
        rows = np.random.default_rng(0).random((images, *shape)).astype(np.float16)
        activations = [Activation(KEY, shape)]
        FeatureStore(there, "float16").open_together(
            activations, images, lambda _: lambda i, j: [rows[i:j]]
        )
        files = ray.remote(num_cpus=0)(NodeFiles).remote(there)
        ray.get(files.holds.remote([KEY.name]))
        store = FeatureStore(
            here, "float16", fetch=lambda names, _: Fetched(files, names, _missing)
        )
        began = time.perf_counter()
        store.open_together(activations, images, _missing)
        return images / (time.perf_counter() - began)


def _missing(*_: Any) -> Any:
    raise SystemExit("the other process gave nothing")


if __name__ == "__main__":
    main()

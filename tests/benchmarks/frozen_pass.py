"""The speed at which frozen networks compute features, and the size of the features on disk.

    python tests/benchmarks/frozen_pass.py [--backbones NAMES] [--images N] [--px PX] [--cpus N]

A row shows a network's multiply-adds (without those of attention that involve no weights), images
per second of the pass that computes the pooled vector and the activations before the last block,
and the kilobytes of each in float16. The median of three passes counts. Weights are random, so
nothing is downloaded.
"""

import argparse
import json
import math
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from machine import about

from tlsearch.config.networks.unfreezing import Depth
from tlsearch.training.frozen.prefix import frozen_pass
from tlsearch.training.network.backbone import load_backbone
from tlsearch.training.runtime import limit_resources

BACKBONES = ["dinov2_small", "siglip2_base_224", "convnext_tiny", "efficientnet_v2_s"]
PASSES, AT_A_TIME = 3, 8
FLOAT16_BYTES = 2


def measured(name: str, images: Any) -> dict[str, float]:
    """Measure one network on images, (n, px, px, 3) uint8."""
    backbone = load_backbone(name, "none", images.shape[1], "default")
    depths = (Depth(0), backbone.row.anatomy.depth(1))
    outputs = [backbone.sections(depth).prefix.output for depth in depths]
    compiled = frozen_pass(backbone, outputs, images)

    def seconds() -> float:
        began = time.perf_counter()
        for start in range(0, len(images), AT_A_TIME):
            features = compiled(tf.constant(images[start : start + AT_A_TIME]))
            [np.asarray(array) for array in features]
        return time.perf_counter() - began

    seconds()  # the first pass traces
    pooled, cut = (FLOAT16_BYTES * math.prod(output.shape[1:]) / 1e3 for output in outputs)
    return {
        "gmacs": backbone.row.multiply_adds * (images.shape[1] / backbone.row.image_px) ** 2 / 1e9,
        "images_per_s": len(images) / statistics.median(seconds() for _ in range(PASSES)),
        "pooled_kb": pooled,
        "last_block_kb": cut,
    }


def main() -> None:
    """Print a row per network."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbones", type=lambda text: text.split(","), default=BACKBONES)
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--px", type=int, default=224)
    parser.add_argument("--cpus", type=int, default=2)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    limit_resources(args.cpus)
    shape = (args.images, args.px, args.px, 3)
    images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    print(f"{'backbone':22}{'GMACs':>8}{'images/s':>10}{'pooled KB':>11}{'last block KB':>15}")
    rows = {}
    for name in args.backbones:
        row = rows[name] = measured(name, images)
        print(f"{name:22}{row['gmacs']:>8.2f}{row['images_per_s']:>10.1f}{row['pooled_kb']:>11.1f}"
              f"{row['last_block_kb']:>15.1f}", flush=True)  # fmt: skip
        load_backbone.cache_clear()
    if args.json:
        args.json.write_text(json.dumps({"machine": about(), "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()

"""What compute alone allows: how much less than plain fine-tuning the least work possible is.

    python tests/benchmarks/bound.py < JOB.json

JOB holds image_px, classes, how many images train and validate, and trials with the epochs that
each was trained. In multiply-adds, a forward pass counted once and the way back through what trains
twice. Plain: the whole network forward in each epoch. Least: one pass of each backbone's frozen
prefix a picture, which gives every cut on its way, then what is behind each trial's cut in each
epoch. Head warm-up is in neither.
"""

import json
import sys
from typing import Any

from costs import Costs, costs


def main() -> None:
    job = json.load(sys.stdin)
    print(json.dumps({"bound": bound(job)}))


def bound(job: dict[str, Any]) -> float:
    """Multiply-adds of plain fine-tuning over the fewest that give the same epochs."""
    train, validation = job["train_images"], job["validation_images"]
    plain = least = 0.0
    prefixes: dict[str, int] = {}
    for trial in job["trials"]:
        cost, epochs = _costs(trial, job), trial["epochs"]
        back = 2 * cost.trained * train
        plain += epochs * (cost.whole * (train + validation) + back)
        least += epochs * (cost.suffix * (train + validation) + back)
        deepest = prefixes.get(trial["backbone"], 0)
        prefixes[trial["backbone"]] = max(deepest, cost.prefix)
    return plain / (least + sum(prefixes.values()) * (train + validation))


def _costs(trial: dict[str, Any], job: dict[str, Any]) -> Costs:
    network = trial["backbone"], trial["unfrozen_layers"], trial["head_units"]
    return costs(*network, job["classes"], job["image_px"])


if __name__ == "__main__":
    main()

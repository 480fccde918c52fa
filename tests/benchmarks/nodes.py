"""What searches survive of nodes that come and go, on several Ray nodes of this machine.

    python tests/benchmarks/nodes.py [--rounds N] [--json OUT] [--only NAME]

Each round is a cluster and a study of its own that takes every departure in turn and is trained to
its end. One counts as injected where it hit a search that ran, as survived where what was expected
of it came in time and, at the study's end, nothing was lost, doubled or changed: see
`tests/faults/departures.py` and `losses.py` for what is compared. `slowest` is in seconds: until a
node that joined had a trial, until a killed one was noticed, until trials had left a node with a
notice. With `--json`, rounds are added to those that OUT holds.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "faults"))

from departures import DEPARTURES, round_of
from losses import Reference
from machine import about
from small_cluster import cluster_study

SECONDS = {
    "node joins": "joined_s",
    "node killed": "noticed_s",
    "node drained (spot notice)": "left_s",
}


def main() -> None:
    arguments = _arguments()
    rounds = _known(arguments.json)
    with tempfile.TemporaryDirectory() as folder:
        reference = Reference(Path(folder) / "reference")
        first = arguments.seed + len(rounds)
        for seed in range(first, first + arguments.rounds):
            rounds.append(_round(seed, arguments.only or DEPARTURES, Path(folder), reference))
            if arguments.json is not None:
                text = json.dumps({**about(), "rounds": rounds}, indent=2)
                arguments.json.write_text(text + "\n")
    print(f"{'fault':<30}{'injected':>9}{'survived':>9}{'lost':>5}{'slowest':>9}")
    for name in DEPARTURES:
        print(_line(name, [told[name] for told in rounds if name in told]))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0, help="of the first round")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--only", action="append", choices=DEPARTURES)
    return parser.parse_args()


def _known(path: Path | None) -> list[dict[str, Any]]:
    rounds: list[dict[str, Any]] = []
    if path is not None and path.is_file():
        rounds = json.loads(path.read_text())["rounds"]
    return rounds


def _round(
    seed: int, names: Iterable[str], folder: Path, reference: Reference
) -> dict[str, dict[str, Any]]:
    """What each departure did in one round."""
    began = time.monotonic()
    with cluster_study(folder / str(seed)) as small:
        found = round_of(names, small, random.Random(seed), reference)
        seconds = {name: max(getattr(small, SECONDS[name]), default=None) for name in SECONDS}
    for name, one in found.items():
        for loss in one.lost:
            print(f"{name}, seed {seed}: {loss}", file=sys.stderr)
    hits = ", ".join(name for name, one in found.items() if one.hit)
    print(f"seed {seed}, {time.monotonic() - began:.0f} s: {hits}", file=sys.stderr, flush=True)
    return {
        name: {"hit": one.hit, "lost": len(one.lost), "seconds": seconds.get(name)}
        for name, one in found.items()
    }


def _line(name: str, told: list[dict[str, Any]]) -> str:
    """One line of the table; `lost` counts the rounds in which anything was."""
    injected = sum(one["hit"] for one in told)
    survived = sum(one["hit"] and not one["lost"] for one in told)
    slowest = max((one["seconds"] for one in told if one["seconds"]), default=None)
    shown = "-" if slowest is None else f"{slowest:.1f}"
    return f"{name:<30}{injected:>9}{survived:>9}{injected - survived:>5}{shown:>9}"


if __name__ == "__main__":
    main()

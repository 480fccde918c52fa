"""Add and remove Ray nodes of this machine during searches, and count the searches that survive.

    python tests/benchmarks/nodes.py [--rounds N] [--json OUT] [--only NAME]

Each round has its own cluster and study, which goes through every departure in turn and is trained
to its end. A departure counts as injected if it hit a running search, and as survived if the
expected reaction came in time and nothing was lost, duplicated or changed at the end of the study:
see `tests/faults/departures.py` and `losses.py` for what is compared. `slowest` is in seconds:
until a node that joined had a trial, until a killed node was noticed, until trials had left a node
that was given notice. With `--json`, rounds are added to those in OUT.
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
        print(_line(name, [results[name] for results in rounds if name in results]))


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
    """Run one round; return the result of each departure."""
    began = time.monotonic()
    with cluster_study(folder / str(seed)) as small:
        results = round_of(names, small, random.Random(seed), reference)
        seconds = {name: max(getattr(small, SECONDS[name]), default=None) for name in SECONDS}
    for name, result in results.items():
        for loss in result.lost:
            print(f"{name}, seed {seed}: {loss}", file=sys.stderr)
    hits = ", ".join(name for name, result in results.items() if result.hit)
    print(f"seed {seed}, {time.monotonic() - began:.0f} s: {hits}", file=sys.stderr, flush=True)
    return {
        name: {"hit": result.hit, "lost": len(result.lost), "seconds": seconds.get(name)}
        for name, result in results.items()
    }


def _line(name: str, results: list[dict[str, Any]]) -> str:
    """Return one row of the table; `lost` counts the rounds in which anything was lost."""
    injected = sum(result["hit"] for result in results)
    survived = sum(result["hit"] and not result["lost"] for result in results)
    slowest = max((result["seconds"] for result in results if result["seconds"]), default=None)
    shown = "-" if slowest is None else f"{slowest:.1f}"
    return f"{name:<30}{injected:>9}{survived:>9}{injected - survived:>5}{shown:>9}"


if __name__ == "__main__":
    main()

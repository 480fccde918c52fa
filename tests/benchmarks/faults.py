"""Inject faults into real searches, resume them to their end, and count those that survive.

    python tests/benchmarks/faults.py [--rounds N] [--json OUT] [--only NAME]

`--rounds` is shared by the kills of driver and worker; every other fault gets a tenth of it, at
least one. Each round has its own study. A fault counts as injected if it hit a running search, and
as survived if the study then ended with nothing lost, duplicated or changed: see
`tests/faults/losses.py` for what is compared. The full disk needs root and is left out otherwise.
"""

import argparse
import contextlib
import json
import random
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "faults"))

from injected import FAULTS
from losses import Reference, round_of
from small_study import SmallStudy, small_study, study_on_small_disk

KILLS = ("driver killed", "worker killed")


def main() -> None:
    arguments = _arguments()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        reference = Reference(Path(folder) / "reference")
        for name in arguments.only or FAULTS:
            rounds = arguments.rounds // 2 if name in KILLS else max(1, arguments.rounds // 10)
            rows.append(_row(name, rounds, Path(folder), reference))
            _write(arguments.json, rows)
    print(f"{'fault':<34}{'injected':>9}{'survived':>9}{'lost':>5}")
    for row in rows:
        print(f"{row['name']:<34}{row['injected']:>9}{row['survived']:>9}{row['lost']:>5}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--only", action="append", choices=FAULTS)
    return parser.parse_args()


def _write(path: Path | None, rows: list[dict[str, Any]]) -> None:
    if path is not None:
        path.write_text(json.dumps({"faults": rows}, indent=2) + "\n")


def _row(name: str, rounds: int, folder: Path, reference: Reference) -> dict[str, Any]:
    """Run the rounds of one fault; `lost` counts the rounds in which anything was lost."""
    injected = survived = 0
    for number in range(rounds):
        root = folder / f"{name.replace(' ', '-')}-{number}"
        try:
            with _place(name, root) as small:
                hit, lost = round_of(FAULTS[name], small, random.Random(number), reference)
        except PermissionError as error:
            print(f"{name}: left out, {error}", file=sys.stderr)
            break
        injected += hit
        survived += hit and not lost
        for loss in lost:
            print(f"{name}, seed {number}: {loss}", file=sys.stderr)
        print(f"{name}, seed {number}: {'hit' if hit else 'missed'}", file=sys.stderr, flush=True)
    return {"name": name, "injected": injected, "survived": survived, "lost": injected - survived}


@contextlib.contextmanager
def _place(name: str, root: Path) -> Iterator[SmallStudy]:
    root.mkdir(parents=True)
    with (study_on_small_disk if name == "disk full" else small_study)(root) as small:
        yield small


if __name__ == "__main__":
    main()

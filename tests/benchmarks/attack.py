"""Give damaged files and requests to the command line, and count how many it handles.

    python tests/benchmarks/attack.py [--seconds N | --cases N] [--seed S] [--only CLASS]
                                      [--keep DIR] [--json OUT]

Each class draws mutated search spaces, pictures, studies, bundles or requests from a seed, runs a
command on each in a child process, and counts how many were handled: the documented exit code and a
message of bounded length, no traceback, no hang, no gigabytes of memory, no damage accepted
silently, and nothing touched outside the command's own files. Any other case is a finding; its
files, command and output are kept under `--keep`. Without `--seed` the seed is random. Bundles and
requests need a search of their own (about a minute), which is left out if `--only` names neither.
"""

import argparse
import functools
import json
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "attacks"))

from sandbox import Sandbox, warm
from server import requests, serving
from strikes import Strike, bundles, pictures, spaces, studies
from victims import Victims, earlier, fresh

CLASSES = ("spaces", "pictures", "studies", "bundles", "requests")
NEED_A_BUNDLE = {"bundles", "requests"}
Draw = Callable[[random.Random], Strike]


def main() -> int:
    arguments = _arguments()
    seed = arguments.seed if arguments.seed is not None else random.SystemRandom().getrandbits(32)
    names = arguments.only or CLASSES
    arguments.keep.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        victims = (fresh if NEED_A_BUNDLE & {*names} else earlier)(Path(folder))
        warm(*(["tensorflow", "keras"] if victims.bundle else []))
        sandbox = Sandbox(Path(folder) / "sandbox")
        for name in names:
            strike = _attack(name, sandbox, victims, stack, Path(folder))
            seeds = _seeds(name, seed, arguments.cases, arguments.seconds / len(names))
            rows.append(_row(name, strike, seeds, sandbox, arguments.keep))
    _print(seed, rows)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps({"seed": seed, "classes": rows}, indent=2) + "\n")
    return 1 if any(row["findings"] for row in rows) else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=300.0, help="in all, shared by classes")
    parser.add_argument("--cases", type=int, help="of each class, instead of --seconds")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--only", action="append", choices=CLASSES)
    parser.add_argument("--keep", type=Path, default=Path("findings"))
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def _attack(name: str, sandbox: Sandbox, victims: Victims, stack: ExitStack, folder: Path) -> Draw:
    if name == "requests":
        assert victims.bundle is not None
        server = stack.enter_context(serving(victims.bundle, folder))
        return functools.partial(requests, server, sandbox, victims)
    strikes = {"spaces": spaces, "pictures": pictures, "studies": studies, "bundles": bundles}
    return functools.partial(strikes[name], sandbox, victims)


def _seeds(name: str, seed: int, cases: int | None, seconds: float) -> Iterator[str]:
    """Yield one seed per case: `cases` of them, or as many as fit into `seconds`."""
    until = time.monotonic() + seconds
    number = 0
    while number < cases if cases is not None else time.monotonic() < until:
        yield f"{name}-{seed}-{number}"
        number += 1


def _row(
    name: str, strike: Draw, seeds: Iterator[str], sandbox: Sandbox, keep: Path
) -> dict[str, Any]:
    """Return one row of the table; findings are counted by kind."""
    cases = 0
    findings: Counter[str] = Counter()
    for seed in seeds:
        sandbox.clear()
        cases += 1
        result = strike(random.Random(seed))
        if result.complaints:
            findings[result.complaints[0].partition(":")[0]] += 1
            _keep(keep / seed, result, sandbox)
            print(f"{seed}: {'; '.join(result.complaints)}", file=sys.stderr, flush=True)
    return {"name": name, "cases": cases, "findings": findings.total(), "kinds": dict(findings)}


def _keep(folder: Path, result: Strike, sandbox: Sandbox) -> None:
    """Save what reproduces a finding: the damaged files, the command and its output."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(sandbox.work, folder / "work", symlinks=True, ignore=_only_regular)
    text = "\n".join([result.command, *result.complaints, "", result.printed])
    (folder / "finding.txt").write_text(text, errors="replace")


def _only_regular(folder: str, names: list[str]) -> list[str]:
    """Return the names that `copytree` must leave out: reading a pipe would block forever."""
    paths = [Path(folder) / name for name in names]
    return [p.name for p in paths if not (p.is_symlink() or p.is_file() or p.is_dir())]


def _print(seed: int, rows: list[dict[str, Any]]) -> None:
    print(f"seed {seed}")
    print(f"{'class':<12}{'cases':>8}{'handled':>9}{'findings':>10}")
    for row in rows:
        handled = row["cases"] - row["findings"]
        kinds = ", ".join(f"{count} {kind}" for kind, count in row["kinds"].items())
        print(f"{row['name']:<12}{row['cases']:>8}{handled:>9}{row['findings']:>10}  {kinds}")


if __name__ == "__main__":
    sys.exit(main())

"""A small network of every family, with random weights, written in every export format.

    python tests/benchmarks/exports.py [--backbones NAMES] [--json OUT]

Of keras.applications it is the smallest network of a family, of KerasHub one of two blocks. A cell
is the largest difference of a probability from the network in memory, and the seconds that writing,
loading and predicting took; or why there is no file. Random weights amplify rounding, so the
columns of rounded formats say that a file works, not how good int8 is.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from machine import about

sys.path.insert(0, str(Path(__file__).parents[1] / "training" / "export"))

from random_networks import FAMILIES, written
from small_presets import CONFIGS, write_preset

from tlsearch.base.errors import TlsearchError
from tlsearch.config.catalog import BACKBONES, EXPORT_FORMATS

Cell = dict[str, float | str]

APPLICATIONS = [name for name in FAMILIES if BACKBONES[name].spec is None]
PRESETS = Path(tempfile.mkdtemp(prefix="tlsearch-exports-"))


def cell(name: str, form: str) -> Cell:
    """One network in one format."""
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        if name in CONFIGS:
            name = write_preset(PRESETS, name)
        try:
            found, expected = written(name, form, Path(folder))
        except TlsearchError as error:
            return {"failed": str(error)}
    seconds = time.perf_counter() - began
    return {"difference": float(np.abs(found - expected).max()), "seconds": round(seconds, 1)}


def shown(one: Cell) -> str:
    """A cell as text."""
    return "failed" if "failed" in one else f"{one['difference']:.0e} {one['seconds']:.0f} s"


def main() -> None:
    """Print the table, a row when it is ready."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--backbones", type=lambda text: text.split(","), default=[*APPLICATIONS, *CONFIGS]
    )
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    print(f"{'':24}" + "".join(f"{form:>16}" for form in EXPORT_FORMATS))
    rows: dict[str, dict[str, Cell]] = {}
    for name in args.backbones:
        rows[name] = {form: cell(name, form) for form in EXPORT_FORMATS}
        print(
            f"{name:24}" + "".join(f"{shown(one):>16}" for one in rows[name].values()), flush=True
        )
    for name, row in rows.items():
        for form, one in row.items():
            if "failed" in one:
                print(f"{name} as {form}: {one['failed']}")
    if args.json:
        args.json.write_text(json.dumps({"machine": about(), "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()

"""Write a small network of every family, with random weights, in every export format.

    python tests/benchmarks/exports.py [--backbones NAMES] [--json OUT]

For keras.applications it is the smallest network of a family, for KerasHub one of two blocks. A
cell shows the largest difference of a probability from the network in memory, and the seconds for
writing, loading and predicting; or "failed", with the reason below the table. Random weights
amplify rounding, so the columns of rounded formats show that a file works, not how good int8 is.
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
    """Measure one network in one format."""
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        if name in CONFIGS:
            name = write_preset(PRESETS, name)
        try:
            actual, expected = written(name, form, Path(folder))
        except TlsearchError as error:
            return {"failed": str(error)}
    seconds = time.perf_counter() - began
    return {"difference": float(np.abs(actual - expected).max()), "seconds": round(seconds, 1)}


def shown(result: Cell) -> str:
    """Format a cell as text."""
    if "failed" in result:
        return "failed"
    return f"{result['difference']:.0e} {result['seconds']:.0f} s"


def main() -> None:
    """Print the table, each row as soon as it is ready."""
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
        cells = "".join(f"{shown(result):>16}" for result in rows[name].values())
        print(f"{name:24}{cells}", flush=True)
    for name, row in rows.items():
        for form, result in row.items():
            if "failed" in result:
                print(f"{name} as {form}: {result['failed']}")
    if args.json:
        args.json.write_text(json.dumps({"machine": about(), "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()

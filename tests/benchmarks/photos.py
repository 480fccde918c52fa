"""Memory use for camera photos: a search, its export, `predict` and `evaluate` on large originals.

    python tests/benchmarks/photos.py [--photos 64] [--megapixels 12,24] [--json OUT]

The photos of a row have one size, like those of one phone held one way; their pixels are synthetic.
Each row is a search of one trial through the command line, then `predict` and `evaluate` with its
bundle. The columns of each are the peak of the private memory of all its processes together, that
of the largest process, and seconds.
"""

import argparse
import functools
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from measured import Measured, Row
from PIL import Image
from process_tree import Sampler

CLASSES = 2
COLUMNS = ("run", "predict", "evaluate")


def main() -> None:
    arguments = _arguments()
    measured = Measured(arguments.json, {"photos": arguments.photos, "px": arguments.px})
    for megapixels in arguments.megapixels:
        with tempfile.TemporaryDirectory(prefix="photos-") as folder:
            measure = functools.partial(_row, Path(folder), megapixels, arguments)
            measured.take(f"{megapixels} MP", measure)
    print(
        f"{'photos':<12}" + "".join(f"{name + ' MB':>14}{'largest':>9}{'s':>7}" for name in COLUMNS)
    )
    for row in measured.rows:
        cells = (f"{row[n]['mb']:14.0f}{row[n]['largest']:9.0f}{row[n]['s']:7.1f}" for n in COLUMNS)
        print(f"{row['megapixels']:g} MP".ljust(12) + "".join(cells))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=int, default=64)
    parser.add_argument("--px", type=int, default=96)
    parser.add_argument("--megapixels", type=_numbers, default=[12, 24])
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def _numbers(text: str) -> list[float]:
    return [float(word) for word in text.split(",")]


def _row(folder: Path, megapixels: float, arguments: argparse.Namespace) -> Row:
    draw(folder / "photos", arguments.photos, megapixels)
    space = {
        "data": {"path": "photos", "image_px": arguments.px, "duplicates": "keep"},
        "space": {"backbone": "photos", "unfrozen_layers": 0},
        "epochs": 2,
        "trials": 1,
        "confirm": 0,
        "cache": "cache",
    }
    (folder / "space.yaml").write_text(yaml.safe_dump(space))
    commands = {
        "run": ["run", "space.yaml", "--study", "study", "--quiet"],
        "predict": ["predict", "study/best", "photos"],
        "evaluate": ["evaluate", "study/best", "photos"],
    }
    return {"megapixels": megapixels} | {n: _peak(folder, w) for n, w in commands.items()}


def draw(into: Path, count: int, megapixels: float) -> None:
    """Write photos of 4:3 with soft patterns, no two alike."""
    height = round((megapixels * 1e6 * 3 / 4) ** 0.5)
    size = (round(height * 4 / 3), height)
    for number in range(count):
        folder = into / f"class_{number % CLASSES}"
        folder.mkdir(parents=True, exist_ok=True)
        drawn = np.random.default_rng(number).integers(0, 256, (24, 32, 3), dtype=np.uint8)
        photo = Image.fromarray(drawn).resize(size, Image.Resampling.BICUBIC)
        photo.save(folder / f"{number:05d}.jpg", quality=90)


def _peak(folder: Path, words: list[str]) -> dict[str, Any]:
    began = time.perf_counter()
    command = [sys.executable, "-m", "tlsearch.cli.main", *words]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
    with Sampler(process.pid) as sampler:
        if process.wait():
            raise SystemExit(f"{' '.join(words)}: exit code {process.returncode}")
    largest = max(sampler.peaks.private.values())
    return {"mb": sampler.peaks.together, "largest": largest, "s": time.perf_counter() - began}


if __name__ == "__main__":
    main()

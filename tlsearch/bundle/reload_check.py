"""A clean process that reloads one artifact and says what it predicts and how long it takes.

    python -m tlsearch.bundle.reload_check REQUEST.json

It imports the artifact's own runtime and nothing of the training that made it. The request names
the file, its format, the pictures and where to write; the answer is `probabilities.npy` and
`latency.json` there.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tlsearch.base.errors import RecordError
from tlsearch.base.files import write_json
from tlsearch.bundle import runtimes
from tlsearch.bundle.open_bundle import OpenModel
from tlsearch.config.catalog import EXPORT_FORMATS, ExportFormat
from tlsearch.data.depth import Bits

RUNS = 50
WARM_UP_RUNS = 3


@dataclass(frozen=True)
class Checked:
    """What a clean process found: probabilities (n, classes), and medians in milliseconds."""

    probabilities: NDArray[Any]
    latency_ms: dict[str, float]


def check_in_clean_process(
    file: Path,
    form: ExportFormat,
    pictures: Sequence[Path],
    image_px: int,
    threads: int,
    time_batches: Sequence[int] = (),
    bits: Bits | None = None,
) -> Checked:
    """Predict picture files with an artifact in a process of its own, and time batches of it.

    `bits` says at which depth pictures of 16 bits are read.
    """
    with tempfile.TemporaryDirectory() as folder:
        request = {
            "file": str(file.absolute()),
            "format": form.name,
            "pictures": [str(path.absolute()) for path in pictures],
            "image_px": image_px,
            "threads": threads,
            "time_batches": list(time_batches),
            "bits": None if bits is None else list(bits.items()),
            "out": folder,
        }
        write_json(Path(folder) / "request.json", request)
        _run_child(Path(folder) / "request.json", file)
        probabilities = np.load(Path(folder) / "probabilities.npy", allow_pickle=False)
        latency = json.loads((Path(folder) / "latency.json").read_text())
    return Checked(probabilities, latency)


def _run_child(request: Path, file: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tlsearch.bundle.reload_check", str(request)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        reason = reason.replace(str(file.absolute()), file.name)  # which stands in a scratch folder
        raise RecordError(f"{file.name}: cannot be used in a clean process ({reason})")


def main(request_file: str) -> None:
    """Answer one request."""
    request = json.loads(Path(request_file).read_text())
    form, out = EXPORT_FORMATS[request["format"]], Path(request["out"])
    run = runtimes.load(Path(request["file"]), form, request["threads"])
    bits = None if request["bits"] is None else dict(request["bits"])
    model = OpenModel((), form, request["image_px"], run, bits=bits)
    pictures = [Path(path) for path in request["pictures"]]
    np.save(out / "probabilities.npy", model.of_files(pictures))
    px = request["image_px"]
    latency = {str(size): _median_ms(run, size, px) for size in request["time_batches"]}
    write_json(out / "latency.json", latency)


def _median_ms(run: runtimes.Predict, batch: int, image_px: int) -> float:
    images = np.random.default_rng(0).integers(0, 256, (batch, image_px, image_px, 3), np.uint8)
    for _ in range(WARM_UP_RUNS):
        run(images)
    return round(statistics.median(_seconds(run, images) for _ in range(RUNS)) * 1000, 3)


def _seconds(run: runtimes.Predict, images: NDArray[Any]) -> float:
    begun = time.perf_counter()
    run(images)
    return time.perf_counter() - begun


if __name__ == "__main__":
    main(sys.argv[1])

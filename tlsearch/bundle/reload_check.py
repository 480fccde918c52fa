"""A clean process that reloads one artifact and says what it predicts and how long it takes.

    python -m tlsearch.bundle.reload_check REQUEST.json

It imports the artifact's own runtime and nothing of the training that made it. The request names
the file, its format, the pictures and where to write; the answer is `probabilities.npy` and
`latency.json` there.
"""

import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
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
DONE = "done"  # a file with a byte for each picture that is predicted
LOOK_EVERY_S = 0.5


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
    done: Callable[[int], object] = lambda pictures: None,
) -> Checked:
    """Predict picture files with an artifact in a process of its own, and time batches of it.

    `bits` says at which depth pictures of 16 bits are read; `done` is told now and then how many
    pictures are predicted.
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
        _run_child(Path(folder) / "request.json", file, done)
        probabilities = np.load(Path(folder) / "probabilities.npy", allow_pickle=False)
        latency = json.loads((Path(folder) / "latency.json").read_text())
    return Checked(probabilities, latency)


def _run_child(request: Path, file: Path, done: Callable[[int], object]) -> None:
    child = subprocess.Popen(
        [sys.executable, "-m", "tlsearch.bundle.reload_check", str(request)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    with child:
        said = _awaited(child, request.with_name(DONE), done)
    if child.returncode != 0:
        reason = (said.strip().splitlines() or [f"exit code {child.returncode}"])[-1]
        reason = reason.replace(str(file.absolute()), file.name)  # which stands in a scratch folder
        raise RecordError(f"{file.name}: cannot be used in a clean process ({reason})")


def _awaited(child: "subprocess.Popen[str]", count: Path, done: Callable[[int], object]) -> str:
    """What the process said on stderr, once it has ended; until then `done` is told its count."""
    try:
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                return child.communicate(timeout=LOOK_EVERY_S)[1]
            done(count.stat().st_size if count.is_file() else 0)
    except BaseException:  # as `subprocess.run` does
        child.kill()
        raise


def main(request_file: str) -> None:
    """Answer one request."""
    request = json.loads(Path(request_file).read_text())
    form, out = EXPORT_FORMATS[request["format"]], Path(request["out"])
    run = runtimes.load(Path(request["file"]), form, request["threads"])
    bits = None if request["bits"] is None else dict(request["bits"])
    model = OpenModel((), form, request["image_px"], run, bits=bits)
    pictures = [Path(path) for path in request["pictures"]]
    with (out / DONE).open("wb", buffering=0) as count:
        found = model.of_files(pictures, lambda done: count.write(bytes(done)))
    np.save(out / "probabilities.npy", found)
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

"""A clean process that reloads one artifact and reports its predictions and latency.

    python -m tlsearch.bundle.reload_check FORMAT THREADS FOLDER

It imports only the artifact's own runtime and no training code, and does so before the file
exists. Standard input then gives a line of JSON that names the file, followed by images: height and
width as two four-byte integers, then the pixels. When the input ends, the process writes
`probabilities.npy` and `latency.json` to FOLDER.
"""

import contextlib
import json
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from tlsearch.base.array_types import Floats, Pixels
from tlsearch.base.cores import granted_cores, in_order
from tlsearch.base.errors import RecordError, last_line
from tlsearch.base.files import write_json
from tlsearch.bundle import runtimes
from tlsearch.bundle.open_bundle import OpenModel, iter_batches
from tlsearch.config.catalog import EXPORT_FORMATS, ExportFormat

RUNS = 50
WARM_UP_RUNS = 3
STDERR = "stderr"
_SIZE = struct.Struct("<II")  # height and width of an image


@dataclass(frozen=True)
class Checked:
    """The result of a clean process: probabilities (n, classes), and median latencies in ms.

    `latency_ms` maps batch sizes to medians.
    """

    probabilities: Floats
    latency_ms: dict[str, float]


class CleanProcess:
    """A subprocess that checks one file of a format.

    It imports the format's runtime at once, which takes seconds, so start it before the file
    exists. It ends when it has answered, when it is closed, or with its parent process.
    """

    def __init__(self, form: ExportFormat, threads: int) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="tlsearch-check-")
        self._out = Path(self._folder.name)
        self._file = Path(form.file)
        self.loading = False  # whether the process knows its file
        command = [sys.executable, "-m", "tlsearch.bundle.reload_check"]
        with (self._out / STDERR).open("wb") as output:  # a pipe that nobody reads would fill up
            self._child = subprocess.Popen(
                [*command, form.name, str(threads), self._folder.name],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=output,
            )

    def __enter__(self) -> "CleanProcess":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def load(self, file: Path, image_px: int, time_batches: Sequence[int] = ()) -> None:
        """Send the file's path, and the batch sizes to time after the images are predicted."""
        self._file, self.loading = file.absolute(), True
        request = {"file": str(self._file), "px": image_px, "time_batches": list(time_batches)}
        self._send(json.dumps(request).encode() + b"\n")

    def show(self, pixels: Pixels) -> None:
        """Send one more image to predict, (height, width, 3) uint8; waits if the pipe is full."""
        self._send(_SIZE.pack(*pixels.shape[:2]))
        self._send(np.ascontiguousarray(pixels).data)

    def answer(self) -> Checked:
        """Wait for the process to end and return its result; raises RecordError if it failed."""
        with contextlib.suppress(BrokenPipeError):
            self._input.close()
        code = self._child.wait()
        if code:
            output = (self._out / STDERR).read_text(errors="replace")
            raise self._error(output, f"exit code {code}")
        probabilities = np.load(self._out / "probabilities.npy", allow_pickle=False)
        return Checked(probabilities, json.loads((self._out / "latency.json").read_text()))

    def close(self) -> None:
        """Kill the process and remove its folder."""
        self._child.kill()
        with contextlib.suppress(BrokenPipeError):
            self._input.close()
        self._child.wait()
        self._folder.cleanup()

    @property
    def _input(self) -> Any:
        assert self._child.stdin is not None, "opened as a pipe"
        return self._child.stdin

    def _send(self, data: Any) -> None:
        with contextlib.suppress(BrokenPipeError):  # it has ended; `answer` reports why
            self._input.write(data)

    def _error(self, output: str, otherwise: str) -> RecordError:
        # The file lies in a scratch folder, whose path would mean nothing to the user.
        reason = last_line(output, otherwise).replace(str(self._file), self._file.name)
        return RecordError(f"{self._file.name}: cannot be used in a clean process ({reason})")


class Checkers:
    """The clean processes of an export: one per format, at most one per core at a time.

    The first group starts at once, so that its runtimes are imported in the meantime.
    """

    def __init__(self, formats: Sequence[str]) -> None:
        self._cores = granted_cores()
        self._begun = {name: self._begin(name) for name in next(self.groups(formats), [])}

    def __enter__(self) -> "Checkers":
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._begun.values():
            process.close()

    def groups(self, formats: Sequence[str], one_by_one: bool = False) -> Iterator[list[str]]:
        """Yield groups of formats; the formats of a group are verified at the same time."""
        count = 1 if one_by_one else self._cores
        for start in range(0, len(formats), count):
            yield list(formats[start : start + count])

    def of(self, name: str) -> CleanProcess:
        """Return the process of a format; the caller must close it."""
        return self._begun.pop(name, None) or self._begin(name)

    def load(self, name: str, file: Path, image_px: int) -> None:
        """Send the path of a format's finished file to its process, if that is already running."""
        if name in self._begun:
            self._begun[name].load(file, image_px)

    def _begin(self, name: str) -> CleanProcess:
        return CleanProcess(EXPORT_FORMATS[name], self._cores)


def main(form_name: str, threads: str, folder: str) -> None:
    """Answer one request; does nothing if the input ends before there is one."""
    form, out = EXPORT_FORMATS[form_name], Path(folder)
    runtimes.import_runtime(form, int(threads))
    request = json.loads(sys.stdin.buffer.readline() or "null")
    if request is None:
        return
    run = runtimes.load(Path(request["file"]), form, int(threads))
    model = OpenModel((), form, request["px"], run)
    np.save(out / "probabilities.npy", _predict_all(model, sys.stdin.buffer))
    timed = {str(size): _median_ms(run, size, request["px"]) for size in request["time_batches"]}
    write_json(out / "latency.json", timed)


def _predict_all(model: OpenModel, source: BinaryIO) -> Floats:
    """Return the probabilities, (n, classes), of the images, reading a batch ahead."""
    batches = iter_batches(_read_images(source), lambda picture: picture.nbytes)
    found = list(in_order(model, batches, threads=1, ahead=2))
    return np.concatenate(found) if found else np.empty((0, 0), np.float32)


def _read_images(source: BinaryIO) -> Iterator[Pixels]:
    """Yield the images of the input, (height, width, 3) uint8."""
    while size := source.read(_SIZE.size):
        height, width = _SIZE.unpack(size)
        pixels = np.frombuffer(source.read(height * width * 3), np.uint8)
        yield pixels.reshape(height, width, 3)


def _median_ms(run: runtimes.Predict, batch: int, image_px: int) -> float:
    images = np.random.default_rng(0).integers(0, 256, (batch, image_px, image_px, 3), np.uint8)
    for _ in range(WARM_UP_RUNS):
        run(images)
    return round(statistics.median(_seconds(run, images) for _ in range(RUNS)) * 1000, 3)


def _seconds(run: runtimes.Predict, images: Pixels) -> float:
    begun = time.perf_counter()
    run(images)
    return time.perf_counter() - begun


if __name__ == "__main__":
    main(*sys.argv[1:])

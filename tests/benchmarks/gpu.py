"""The speed of tlsearch on a GPU, compared with programs written by hand with Keras.

    python tests/benchmarks/gpu.py [--models A,B] [--precisions P,Q] [--jit off,on] [--json OUT]

It measures images per second of the frozen pass, of training the last block, and of training the
whole network, on pictures of noise with random weights; then a search by tlsearch and the same
trials by hand (`search_speed.py`); then trials per minute of a search of heads, and of one of the
last block, with 1, 2 and 4 trials on one GPU. `gpu_paces.py` says what is timed. Each network and
precision, with XLA on or off, runs in a process of its own: one that fails becomes a row with the
reason, and the rest goes on. With --json rows are written one by one, and another run measures
those that are missing; with --again also those that failed. The log is beside OUT. Without a GPU
everything is smaller, and no target is judged.
"""

import argparse
import functools
import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from gpu_child import Child
from gpu_meter import Card, card
from gpu_tables import print_tables
from measured import Measured, Row
from PIL import Image

from tlsearch.base.gpus import limit_mib
from tlsearch.config.catalog import BACKBONES

HERE = Path(__file__).parent
MODELS = ("resnet50", "mobilenet_v2", "efficientnet_v2_s", "vit_s")  # the last is in vit.py
PRECISIONS = ("float32", "mixed_bfloat16", "tf32")
PACES = (
    ("step", "tlsearch"),
    ("step", "by hand"),
    ("pass", "tlsearch"),
    ("kept", "tlsearch"),
    ("pass", "by hand"),
    ("suffix", "tlsearch"),
    ("suffix", "by hand"),
)
PARTS = ("paces", "by-hand", "searches")
SEARCHED = "mobilenet_v2"  # one of the networks in handwritten.py
# Sizes of the measurements on a GPU, and smaller ones without a GPU.
ON_GPU = {"px": 224, "images": 4096, "batch": 128, "repeats": 2, "searched_images": 2000}
ON_CPU = {"px": 96, "images": 64, "batch": 16, "repeats": 2, "searched_images": 120}

Take = Callable[[str, Callable[[], Row]], None]


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # stops child processes
    gpu = card()
    arguments = _arguments(gpu)
    measured = Measured(arguments.json, _settings(arguments, gpu))
    if arguments.again:
        measured.drop(lambda row: "failed" in row)
    until = time.monotonic() + arguments.for_s
    log = arguments.json.with_suffix(".log") if arguments.json else Path(os.devnull)

    def take(name: str, measure: Callable[[], Row]) -> None:
        if time.monotonic() < until:
            measured.take(name, measure)

    parts = {"paces": _paces, "by-hand": _against_hand, "searches": _searches}
    with log.open("a") as file, tempfile.TemporaryDirectory(prefix="gpu-") as folder:
        for part in arguments.parts:
            parts[part](arguments, gpu, take, Path(folder), file)
    print_tables(measured.rows, gpu)


def _arguments(gpu: Card | None) -> argparse.Namespace:
    sizes = ON_CPU if gpu is None else ON_GPU
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=_words, default=list(MODELS))
    parser.add_argument("--precisions", type=_words, default=list(PRECISIONS))
    jit = ["off"] if gpu is None else ["off", "on"]  # on CPUs XLA is slow
    parser.add_argument("--jit", type=_words, default=jit)
    works = list(dict.fromkeys(work for work, _ in PACES))
    parser.add_argument("--work", type=_words, default=works, help="step, pass, kept or suffix")
    parser.add_argument("--parts", type=_words, default=list(PARTS))
    for name, size in sizes.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=size)
    parser.add_argument("--limit-s", type=float, default=400, help="of one measurement")
    parser.add_argument("--for-s", type=float, default=1e9, help="begin none after so long")
    parser.add_argument("--again", action="store_true", help="measure again what failed")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def _words(text: str) -> list[str]:
    return text.split(",")


def _settings(arguments: argparse.Namespace, gpu: Card | None) -> dict[str, Any]:
    """Return the settings that all rows of a file share."""
    sizes = {name: getattr(arguments, name) for name in ON_GPU}
    return sizes | {"card": None if gpu is None else gpu._asdict()}


def _paces(
    arguments: argparse.Namespace, gpu: Card | None, take: Take, folder: Path, log: IO[str]
) -> None:
    """Measure the paces; those without XLA come first, since it takes long to compile."""
    kinds = itertools.product(arguments.jit, arguments.models, arguments.precisions)
    for jit, backbone, precision in kinds:
        setup = {name: getattr(arguments, name) for name in ("px", "images", "batch", "repeats")}
        setup |= {"backbone": backbone, "precision": precision, "jit": jit == "on"}
        setup |= {"cpus": os.cpu_count(), "gpus": 0 if gpu is None else 1}
        file = folder / "setup.json"
        file.write_text(json.dumps(setup))
        command = [sys.executable, str(HERE / "gpu_paces.py"), str(file)]
        with Child(command, log, arguments.limit_s) as child:
            for work, program in (pace for pace in PACES if pace[0] in arguments.work):
                request = {"backbone": backbone, "precision": precision, "jit": jit}
                request |= {"work": work, "program": program}
                take(" ".join(request.values()), functools.partial(_pace, child, request))


def _pace(child: Child, request: dict[str, str]) -> Row:
    return request | child.ask(request)


def _against_hand(
    arguments: argparse.Namespace, gpu: Card | None, take: Take, folder: Path, log: IO[str]
) -> None:
    """Time the same trials by tlsearch and by the better hand-written program, on as many slots."""
    slots, trials = (2, 4) if gpu is None else (4, 12)
    asked = ["--only", "a,d", "--trials", trials, "--epochs", 9 if gpu else 3]
    search = _Search(arguments, gpu, folder, log)
    take("mixed search", lambda: search.row("mixed", slots, asked))


def _searches(
    arguments: argparse.Namespace, gpu: Card | None, take: Take, folder: Path, log: IO[str]
) -> None:
    """Measure tlsearch's trials per minute with an increasing number of trials at a time."""
    search = _Search(arguments, gpu, folder, log)
    depths = {"heads": 0, "last block": BACKBONES[SEARCHED].anatomy.depth(1).layers}
    for (kind, depth), slots in itertools.product(depths.items(), (1, 2, 4) if gpu else (1, 2)):
        trials = (24 if depth == 0 else 12) if gpu else 4
        asked = ["--only", "a", "--unfrozen", depth, "--backbones", SEARCHED]
        asked += ["--trials", trials, "--epochs", 9 if gpu else 3]
        take(f"{kind} {slots}", functools.partial(search.row, kind, slots, asked))


class _Search:
    """Runs `search_speed.py` on pictures of coloured squares, which the first run writes."""

    def __init__(
        self, arguments: argparse.Namespace, gpu: Card | None, folder: Path, log: IO[str]
    ) -> None:
        self._arguments, self._card, self._folder, self._log = arguments, gpu, folder, log

    def row(self, kind: str, slots: int, asked: Sequence[object]) -> Row:
        """Run one search; return the rows of its programs, or why it failed."""
        share = 0 if self._card is None else 1 / slots
        cpus = max(1, (os.cpu_count() or 1) // slots) if self._card else 1
        out = self._folder / "search.json"
        out.unlink(missing_ok=True)
        command = [sys.executable, HERE / "search_speed.py", self._pictures(), *asked]
        command += ["--slots", slots, "--cpus", cpus, "--gpus", share, "--weights", "none"]
        command += ["--px", self._arguments.px, "--no-bound", "--json", out]
        failed = self._run(list(map(str, command)))
        row: Row = {"search": kind, "slots": slots, "gpus": share}
        if self._card is not None:
            total = self._card.memory_mib
            row["limit_mib"] = total if share == 1 else slots * limit_mib(share, total)
        if failed:
            return row | {"failed": failed}
        result = json.loads(out.read_text())
        return row | {"ratio": result["ratio"], "programs": result["rows"]}

    def _run(self, command: Sequence[str]) -> str:
        """Return why the command failed, or ""; on SIGTERM it ends its own processes."""
        process = subprocess.Popen(command, stdout=self._log, stderr=self._log)
        try:
            code = process.wait(self._arguments.limit_s)
        except subprocess.TimeoutExpired:
            return f"took more than {self._arguments.limit_s:g} s"
        finally:
            process.terminate()
            process.wait()
        return f"ended with exit code {code}, see the log" if code else ""

    def _pictures(self) -> Path:
        root = self._folder / "pictures"
        if not root.is_dir():
            _write_pictures(root, self._arguments.searched_images, self._arguments.px)
        return root


def _write_pictures(root: Path, count: int, px: int) -> None:
    """Write squares of random colours, a little redder or bluer by class."""
    rng = np.random.default_rng(0)
    for number in range(count):
        label = number % 2
        small = rng.integers(0, 200, (7, 7, 3)) + np.array([[40, 0, 0], [0, 0, 40]])[label]
        folder = root / ("blue" if label else "red")
        folder.mkdir(parents=True, exist_ok=True)
        picture = Image.fromarray(small.astype(np.uint8))
        picture.resize((px, px), Image.Resampling.NEAREST).save(folder / f"{number:05}.jpg")


if __name__ == "__main__":
    main()

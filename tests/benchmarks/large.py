"""How a search scales with its pictures: seconds per phase, memory per process, disk space.

    python tests/benchmarks/large.py [--cifar PATH] [--sizes 1000,10000,50000] [--json OUT]

PATH is CIFAR-10 as pictures, a folder `train/<class>/*` or an archive of `cifar10/train/<class>/*`;
its training pictures are used. Synthetic pictures are drawn for each size in addition, or alone
without PATH: ten per class up to 10,000, above that 1,000 classes. Each row is one search through
the command line from an empty cache, measured by the events that `--json` writes; a size that the
disk cannot hold is left out. `again` is a later `tlsearch validate --data`, which finds everything
in the cache. Rows are written to OUT one by one and read back from it.

The slopes between neighbouring sizes follow, and the number of pictures that would fill 24 GB and
128 GB, from a straight line through the two largest sizes for the private memory of all processes
together. The line ignores whatever these sizes do not show; there is no number if memory did not
grow.
"""

import argparse
import io
import itertools
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from measured import Measured, Row, grouped
from pictures import linked
from PIL import Image
from process_tree import Peaks, Sampler

from tlsearch.store.caches import CacheEntry, cache_entries

PER_CLASS, MOST_CLASSES, DRAWN_PX = 10, 1000, 128
MACHINES_GB = (24, 128)
PHASES = ("imports", "read", "start", "trials", "confirm", "refine", "export", "end")
SOURCE_BYTES = 20_000  # per drawn picture, at most
FEATURE_BYTES = 40_000  # per picture, at most, with the views of the default space


def main() -> None:
    arguments = _arguments()
    measured = Measured(arguments.json, _settings(arguments))
    with tempfile.TemporaryDirectory(prefix="large-", dir=arguments.work) as folder:
        for name in [*(["cifar10"] if arguments.cifar else []), "synthetic"]:
            for size in arguments.sizes:
                if _fits(name, size, Path(folder), arguments):
                    row = _Measurement(name, size, Path(folder), arguments)
                    measured.take(f"{name} {size}", row.measure)
    _print(measured.rows)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cifar", type=Path, help="CIFAR-10 as pictures: a folder or an archive")
    parser.add_argument("--sizes", type=_numbers, default=[1000, 10_000, 50_000])
    parser.add_argument("--px", type=int, default=96)
    parser.add_argument("--trials", type=int, default=6)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--backbone", default="mobilenet_v2_035")
    parser.add_argument("--weights", default="default")
    parser.add_argument("--unfrozen", type=_numbers, default=[0, 15])
    parser.add_argument("--augment", default="light")
    parser.add_argument("--views", type=int, default=2)
    parser.add_argument("--work", type=Path, help="a folder on a disk with room")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def _numbers(text: str) -> list[int]:
    return [int(word) for word in text.split(",")]


def _settings(arguments: argparse.Namespace) -> dict[str, Any]:
    names = ("px", "trials", "epochs", "backbone", "weights", "unfrozen", "augment", "views")
    return {name: getattr(arguments, name) for name in names}


def _fits(name: str, size: int, folder: Path, arguments: argparse.Namespace) -> bool:
    needed = size * (arguments.px**2 * 3 + SOURCE_BYTES + FEATURE_BYTES)
    free = shutil.disk_usage(folder).free
    if needed > free:
        print(f"{name} {size}: left out, needs {needed / 1e9:.0f} GB of disk", file=sys.stderr)
    return bool(needed <= free)


class _Measurement:
    """One search on `size` pictures of a set, from an empty cache."""

    def __init__(self, name: str, size: int, folder: Path, arguments: argparse.Namespace) -> None:
        self.name, self.size, self.arguments = name, size, arguments
        self.shared, self.folder = folder, folder / f"{name}-{size}"

    def measure(self) -> Row:
        """Return the row, and delete everything that the search wrote."""
        self.folder.mkdir()
        try:
            return self._measured()
        finally:
            shutil.rmtree(self.folder)

    def _measured(self) -> Row:
        classes, bytes_of_pictures = self._pictures(self.folder / "pictures")
        space = self.folder / "space.yaml"
        space.write_text(yaml.safe_dump(self._space()))
        began = time.time()
        process = self._cli("run", space, "--json", "--study", self.folder / "study")
        with Sampler(process.pid) as sampler:
            _, stderr = process.communicate()
        ended = time.time()
        if process.returncode:
            raise SystemExit(f"{self.name} {self.size}: {stderr[-2000:]}")
        reported = list(events(stderr))
        again_s = self._again(space)
        entries = cache_entries(self.folder / "cache")
        return {
            "set": self.name,
            "images": self.size,
            "classes": classes,
            "seconds": phases(began, ended, reported),
            "wall_s": ended - began,
            "again_s": again_s,
            "per_s": speeds(entries, reported),
            "memory_mb": _memory(sampler.peaks),
            "bytes": self._bytes(entries) | {"pictures": bytes_of_pictures},
        }

    def _pictures(self, into: Path) -> tuple[int, int]:
        """Make the pictures; return the number of classes and the bytes of the files."""
        if self.name == "synthetic":
            classes = min(MOST_CLASSES, self.size // PER_CLASS)
            return classes, draw(into, classes, self.size)
        linked(unpacked(self.arguments.cifar, self.shared) / "train", into, self.size, seed=0)
        files = [path for path in into.rglob("*") if path.is_file()]
        return len(list(into.iterdir())), sum(path.stat().st_size for path in files)

    def _space(self) -> dict[str, Any]:
        arguments = self.arguments
        return {
            "name": "large",
            "data": {"path": str(self.folder / "pictures"), "image_px": arguments.px},
            "space": {
                "backbone": arguments.backbone,
                "weights": arguments.weights,
                "unfrozen_layers": arguments.unfrozen,
            },
            "augment": arguments.augment,
            "views": arguments.views,
            "trials": arguments.trials,
            "epochs": arguments.epochs,
            "cache": str(self.folder / "cache"),
        }

    def _cli(self, *words: object) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "tlsearch.cli.main", *map(str, words)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "TF_CPP_MIN_LOG_LEVEL": "3"},
        )

    def _again(self, space: Path) -> float:
        began = time.perf_counter()
        self._cli("validate", space, "--data").communicate()
        return time.perf_counter() - began

    def _bytes(self, entries: Sequence[CacheEntry]) -> dict[str, int]:
        kinds = sorted({one.kind for one in entries})
        sizes = {kind: sum(o.entry.bytes for o in entries if o.kind == kind) for kind in kinds}
        study = (path.stat().st_size for path in (self.folder / "study").rglob("*"))
        return sizes | {"study": sum(study)}


def unpacked(path: Path, folder: Path) -> Path:
    """Return the folder of CIFAR-10's pictures; an archive is unpacked once."""
    if path.is_dir():
        return path
    if not (folder / "cifar10").is_dir():
        with tarfile.open(path) as archive:
            archive.extractall(folder, filter="data")
    return folder / "cifar10"


def draw(into: Path, classes: int, count: int) -> int:
    """Draw pictures, equally many per class; return the bytes of their files.

    A class is a soft pattern of colours; each picture mixes it with one of its own, so no two are
    alike.
    """
    written = 0
    for number in range(count):
        label = number % classes
        folder = into / f"class_{label:04d}"
        folder.mkdir(parents=True, exist_ok=True)
        mixed = 0.5 * _pattern(("class", label)) + 0.5 * _pattern(("picture", number))
        small = Image.fromarray(mixed.astype(np.uint8))
        large = small.resize((DRAWN_PX, DRAWN_PX), Image.Resampling.BICUBIC)
        buffer = io.BytesIO()
        large.save(buffer, "JPEG", quality=90)
        written += (folder / f"{number:07d}.jpg").write_bytes(buffer.getvalue())
    return written


def _pattern(name: tuple[str, int]) -> Any:
    seed = [len(name[0]), name[1]]
    return np.random.default_rng(seed).integers(0, 256, (6, 6, 3)).astype(float)


def events(stderr: str) -> Iterator[dict[str, Any]]:
    """Yield the events that `--json` wrote, each with its time in seconds as `at`."""
    for line in stderr.splitlines():
        if line.startswith("{"):
            event = json.loads(line)
            yield event | {"at": datetime.fromisoformat(event["time"]).timestamp()}


def phases(began: float, ended: float, events: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Return the seconds of each phase of a search; phases follow one another without a gap."""
    at: dict[str, float] = {}
    for event in events:
        name = event["event"]
        if name == "confirmed_once":
            name = "refined" if event["refined"] else "confirmed"
        if name in ("trial_ended", "confirmed", "refined") or name not in at:
            at[name] = event["at"]
    marks = [began, at["data_reading"], at["data_read"], at["study_began"], at["trial_ended"]]
    for name in ("confirmed", "refined"):
        marks.append(max(marks[-1], at.get(name, marks[-1])))
    marks.append(at.get("study_ended", marks[-1]))
    marks.append(ended)
    gaps = [late - early for early, late in itertools.pairwise(marks)]
    return dict(zip(PHASES, gaps, strict=True))


def speeds(entries: Sequence[CacheEntry], events: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Return images per second, from the seconds that the cache records and those of the epochs."""
    rates = {}
    known = [(one.kind, about) for one in entries if (about := one.entry.about)]
    whole = max((about.shape[0] for _, about in known), default=0)
    rows = max((about.shape[0] for kind, about in known if kind == "images"), default=whole)
    for kind, name in (("images", "decoding"), ("hashes", "hashing"), ("audits", "audit")):
        seconds = sum(about.seconds for its, about in known if its == kind)
        rates[name] = rows / max(seconds, 1e-3)
    passes = [about for kind, about in known if kind == "features"]
    if passes:
        largest = max(passes, key=lambda about: about.shape[0] / max(about.seconds, 1e-3))
        rates["pass"] = largest.shape[0] / max(largest.seconds, 1e-3)
    read = next(event for event in events if event["event"] == "data_read")
    ended = [event for event in events if event["event"] == "trial_ended"]
    seconds = sum(event["seconds"] for event in ended)
    epochs = sum(event["epochs"] for event in ended)
    rates["training"] = epochs * read["images"]["train"] / max(seconds, 1e-3)
    return rates


def _memory(peaks: Peaks) -> dict[str, Any]:
    return {"rss": peaks.rss, "private": peaks.private, "together": peaks.together}


def slopes(one: Row, other: Row) -> Row:
    """Return what 1,000 more pictures add between two sizes: seconds, MB of memory, MB on disk."""
    more = (other["images"] - one["images"]) / 1000
    gained = {name: other["seconds"][name] - one["seconds"][name] for name in PHASES}
    held_mb = other["memory_mb"]["together"] - one["memory_mb"]["together"]
    disk = sum(other["bytes"].values()) - sum(one["bytes"].values())
    return {
        **{name: seconds / more for name, seconds in gained.items()},
        "memory_mb": held_mb / more,
        "disk_mb": disk / 1e6 / more,
    }


def ceiling(one: Row, other: Row, gigabytes: float) -> float | None:
    """Return how many pictures fill this memory, by a line through two sizes; None if flat."""
    slope = slopes(one, other)["memory_mb"]
    if slope <= 0:
        return None
    left = gigabytes * 1e9 / 2**20 - other["memory_mb"]["together"]
    return float(other["images"] + 1000 * left / slope)


def _print(rows: Sequence[Row]) -> None:
    columns = [*PHASES, "wall", "again"]
    print(f"{'seconds':<18}" + "".join(f"{name:>9}" for name in columns) + f"{'after/trials':>14}")
    for row in rows:
        cells = [*row["seconds"].values(), row["wall_s"], row["again_s"]]
        after = sum(row["seconds"][name] for name in ("confirm", "refine", "export"))
        ratio = after / row["seconds"]["trials"]
        print(f"{_named(row)}" + "".join(f"{cell:9.1f}" for cell in cells) + f"{ratio:14.2f}")
    _print_columns("images/s", rows, [row["per_s"] for row in rows])
    _print_columns("private MB", rows, [_private(row) for row in rows])
    _print_columns("MB on disk", rows, [_megabytes(row) for row in rows])
    for group in grouped(rows, "set").values():
        ordered = sorted(group, key=lambda row: row["images"])
        for one, other in itertools.pairwise(ordered):
            gains = ", ".join(f"{name} {value:.3f}" for name, value in slopes(one, other).items())
            print(f"{_named(other)}a thousand more than {one['images']} add: {gains}")
        for gigabytes in MACHINES_GB if len(ordered) > 1 else ():
            most = ceiling(ordered[-2], ordered[-1], gigabytes)
            answer = "memory did not grow" if most is None else f"about {most:,.0f} pictures"
            print(f"{ordered[-1]['set']}: {gigabytes} GB: {answer}")


def _private(row: Row) -> dict[str, float]:
    return {**row["memory_mb"]["private"], "together": row["memory_mb"]["together"]}


def _megabytes(row: Row) -> dict[str, float]:
    return {kind: count / 1e6 for kind, count in row["bytes"].items()}


def _print_columns(title: str, rows: Sequence[Row], cells: Sequence[dict[str, float]]) -> None:
    names = list(dict.fromkeys(name for row in cells for name in row))
    width = max([9, *(len(name) + 2 for name in names)])
    print(f"\n{title:<18}" + "".join(f"{name:>{width}}" for name in names))
    for row, found in zip(rows, cells, strict=True):
        print(_named(row) + "".join(f"{found.get(n, float('nan')):{width}.1f}" for n in names))


def _named(row: Row) -> str:
    return f"{row['set']} {row['images']}".ljust(18)


if __name__ == "__main__":
    main()

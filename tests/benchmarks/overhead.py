"""The time that tlsearch adds to trials that cost next to nothing, and whether memory grows.

    python tests/benchmarks/overhead.py [--trials N] [--epochs E] [--json OUT]

The benchmark searches heads on 24 pictures of 32 px, one trial at a time, without early stopping. A
trial's overhead is the time from the end of the previous trial to its first report, plus the time
from its last report to its end; an epoch's overhead is the time between two reports; each minus the
seconds that the epoch itself reports. The first trial, which starts TensorFlow, is shown
separately. Medians and means are over the others. Resident memory of the training process is read
after 1, 10, 50, 100, 200, ... trials.
"""

import argparse
import itertools
import json
import statistics
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from machine import about, memory_mb
from PIL import Image

import tlsearch
from tlsearch.config.load import from_mapping
from tlsearch.results.live.events import EpochReported, Event, StudyBegan, TrialEnded
from tlsearch.results.record.directory import StudyDirectory
from tlsearch.results.record.journal import read_journal

SAMPLED = (1, 10, 50, 100, 200, 500, 1000)
CLASSES, PER_CLASS, PX = 2, 12, 32


class Watch:
    """Records when trials report and end, on a clock that stops while memory is read."""

    def __init__(self) -> None:
        self.began_s = 0.0
        self.reports: dict[int, dict[int, float]] = defaultdict(dict)  # trial -> epoch -> seconds
        self.ends: dict[int, float] = {}
        self.memory: dict[int, dict[str, float]] = {}  # trials ended -> process -> megabytes
        self._home: StudyDirectory | None = None
        self._paused = 0.0

    def __call__(self, event: Event) -> None:
        now = time.perf_counter() - self._paused
        if isinstance(event, StudyBegan):
            self.began_s, self._home = now, StudyDirectory(Path(event.directory))
        elif isinstance(event, EpochReported):
            self.reports[event.trial][event.epoch] = now
        elif isinstance(event, TrialEnded):
            self.ends[event.trial] = now
            if event.ended in SAMPLED or event.ended == event.trials:
                self._sample(event)
                self._paused = time.perf_counter() - now

    def _sample(self, event: TrialEnded) -> None:
        assert self._home is not None, "trials end after the study began"
        trials = {trial.number: trial for trial in read_journal(self._home.journal_file).trials}
        pid = int(trials[event.trial].worker.split()[-1])
        self.memory[event.ended] = {"pid": pid, "rss_mb": round(memory_mb(pid), 1)}


def main() -> None:
    arguments = _arguments()
    watch = Watch()
    with tempfile.TemporaryDirectory(prefix="overhead-") as folder:
        _draw(Path(folder) / "images")
        config = from_mapping(_config(arguments, Path(folder)))
        study = tlsearch.run(config, Path(folder) / "study", listen=watch)
        result = _overhead(watch, study) | {"memory": watch.memory}
    result |= about()
    _print(result)
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def _draw(folder: Path) -> None:
    """Write pictures of noise, each different, dark in one class and light in the other."""
    chance = np.random.default_rng(0)
    for label in range(CLASSES):
        (folder / f"class{label}").mkdir(parents=True)
        for place in range(PER_CLASS):
            pixels = chance.integers(0, 128, (PX, PX, 3), dtype=np.uint8) + np.uint8(127 * label)
            Image.fromarray(pixels).save(folder / f"class{label}" / f"{place:02d}.png")


def _config(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    return {
        "name": "trivial",
        "data": {
            "path": str(folder / "images"),
            "image_px": PX,
            "splits": {"train": "rest", "validation": 6, "test": 4},
        },
        "space": {"backbone": "strokes", "head_lr": {"low": 1e-4, "high": 1e-1, "log": True}},
        "epochs": arguments.epochs,
        "warm_up_epochs": 0,
        "scheduler": "none",
        "confirm": 0,
        "trials": arguments.trials,
        "resources": {"max_concurrent": 1},
        "cache": str(folder / "cache"),
    }


def _overhead(watch: Watch, study: "tlsearch.Study") -> dict[str, Any]:
    """Return overhead in seconds per trial and per epoch, and trials per second after the first."""
    order = sorted(watch.ends, key=watch.ends.__getitem__)
    trial_s, epoch_s, compute_s = [], [], []
    for before, trial in itertools.pairwise(order):
        own = _own_seconds(study, trial)
        times = [watch.ends[before], *watch.reports[trial].values(), watch.ends[trial]]
        gaps = [end - start for start, end in itertools.pairwise(times)]
        beyond = [gap - own_s for gap, own_s in zip(gaps, [*own, 0.0], strict=True)]
        trial_s.append(beyond[0] + beyond[-1])
        epoch_s += beyond[1:-1]
        compute_s.append(sum(own))
    wall_s = watch.ends[order[-1]] - watch.ends[order[0]]
    return {
        "trials": len(order),
        "first_trial_s": watch.ends[order[0]] - watch.began_s,
        "trials_per_s": (len(order) - 1) / wall_s,
        "compute_s_per_trial": statistics.mean(compute_s),
        "overhead_s_per_trial": _summary(trial_s),
        "overhead_s_per_epoch": _summary(epoch_s),
    }


def _own_seconds(study: "tlsearch.Study", trial: int) -> list[float]:
    """Return the seconds that a trial's epochs report."""
    lines = (study.home.trial(trial) / "curves.jsonl").read_text().splitlines()
    return [json.loads(line)["seconds"] for line in lines]


def _summary(values: list[float]) -> dict[str, float]:
    p95 = sorted(values)[int(0.95 * (len(values) - 1))]
    return {"median": statistics.median(values), "mean": statistics.mean(values), "p95": p95}


def _an(name: str) -> str:
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def _print(result: dict[str, Any]) -> None:
    machine = result["machine"]
    print(f"{machine['processor']}, {machine['cores']} cores, one slot")
    print(
        f"{result['trials']} trials, {result['trials_per_s']:.2f} a second; the first, with the "
        f"start of its process, {result['first_trial_s']:.1f} s"
    )
    print(f"compute {1000 * result['compute_s_per_trial']:.1f} ms a trial, by its own account")
    print(f"{'beyond compute, ms':20} {'median':>8} {'mean':>8} {'95 %':>8}")
    for name in ("trial", "epoch"):
        shown = [1000 * value for value in result[f"overhead_s_per_{name}"].values()]
        print(f"{_an(name):20} " + " ".join(f"{value:8.1f}" for value in shown))
    print(f"{'trials':>8} {'RSS, MB':>9} {'process':>9}")
    for ended, sample in result["memory"].items():
        print(f"{ended:8} {sample['rss_mb']:9.1f} {sample['pid']:9}")


if __name__ == "__main__":
    main()

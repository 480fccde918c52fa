"""The time of a search: by tlsearch, by tlsearch without its store, and by a hand-written program.

    python tests/benchmarks/search_speed.py DATA [--val DIR] [--trials N] [--epochs E] [--json OUT]

The same trials, splits, epochs and slots run through (a) tlsearch from an empty cache, (b) tlsearch
with `cache_gb: 0`, (c) `handwritten.py` without and with `reuse_actors`. The trials cover backbones
and unfrozen layers evenly; rates, dropout and head are drawn by the seed. Each program is a
separate process, timed from its start, imports included, to the end of its last trial; `steady` in
the JSON is the trials per minute after every slot has ended its first. With --gpus, a slot's share
of a GPU, the table shows how busy the GPU was. ASHA's decisions depend on timing, so epochs are
counted, and seconds per epoch are compared too. tlsearch's warm-up of the head counts in its
seconds, not in its epochs. DATA holds pictures that TensorFlow can decode, in one folder per class;
without --val a fifth validates.
"""

import argparse
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from gpu_meter import Meter
from machine import about
from pictures import linked, listed

from tlsearch.config.dataset import Data, Splits
from tlsearch.data.sources import prepare

HERE = Path(__file__).parent
SPLITS = {"train": "rest", "validation": 0.2, "test": 0.02}  # test is not read while timed
HEAD_LR, FINE_TUNE_LR = (3e-4, 3e-2), (3e-5, 3e-3)
DROPOUT, UNITS = (0.0, 0.2), (0, 128)
PROGRAMS = {
    "a": "tlsearch",
    "b": "tlsearch, cache_gb 0",
    "c": "by hand",
    "d": "by hand, reuse_actors",
}
# The same for every program; `token` is Ray's own default once it has started.
ENVIRONMENT = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "token"}

Row = dict[str, Any]
Job = dict[str, Any]


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # stops child processes
    arguments = _arguments()
    trials = draw(arguments)
    with tempfile.TemporaryDirectory(prefix="search-speed-") as folder:
        job = _job(arguments, trials, Path(folder))
        rows = []
        for letter in _programs(arguments.only):
            rows.append(_measure(letter, job, Path(folder)))
            print(f"{rows[-1]['program']}: {rows[-1]['wall_s']:.1f} s", file=sys.stderr, flush=True)
        result = _compared(rows, job) | about() | {"arguments": _plain(arguments)}
    _print(result)
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--val", type=Path, help="validation pictures, one folder per class")
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--epochs", type=int, default=9)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--head-only", action="store_true", help="as --unfrozen 0")
    parser.add_argument("--images", type=int, help="take as many of DATA, by the seed")
    parser.add_argument("--backbones", type=_words, default=["mobilenet_v2_035", "mobilenet_v2"])
    parser.add_argument("--unfrozen", type=_layers, default=[0, 15, 40])
    parser.add_argument("--px", type=int, default=224)
    parser.add_argument("--slots", type=int, default=2, help="trials at a time")
    parser.add_argument("--cpus", type=int, default=1, help="processors of a slot")
    parser.add_argument("--gpus", type=float, default=0, help="a slot's share of a GPU")
    parser.add_argument("--weights", default="default", help="none where there are none at hand")
    parser.add_argument("--no-bound", action="store_true", help="leave out what compute allows")
    parser.add_argument("--only", type=_words, default=["a", "b", "c"])
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def _words(text: str) -> list[str]:
    return text.split(",")


def _layers(text: str) -> list[int | str]:
    return [word if word == "all" else int(word) for word in text.split(",")]


def _plain(arguments: argparse.Namespace) -> dict[str, Any]:
    return {k: str(v) if isinstance(v, Path) else v for k, v in vars(arguments).items()}


def _programs(only: Iterable[str]) -> list[str]:
    """Return the programs to run; c stands for both hand-written ones."""
    wanted = {"d" if letter == "c" else letter for letter in only} | set(only)
    return [letter for letter in PROGRAMS if letter in wanted]


def draw(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Return the trials: every backbone with every depth in turn, the rest drawn by the seed."""
    chance = random.Random(arguments.seed)
    depths = [0] if arguments.head_only else arguments.unfrozen
    grid = itertools.cycle(itertools.product(arguments.backbones, depths))
    mix = list(itertools.islice(grid, arguments.trials))
    chance.shuffle(mix)
    return [_trial(backbone, depth, chance) for backbone, depth in mix]


def _trial(backbone: str, unfrozen: int | str, chance: random.Random) -> dict[str, Any]:
    low, high = HEAD_LR if unfrozen == 0 else FINE_TUNE_LR
    return {
        "backbone": backbone,
        "unfrozen_layers": unfrozen,
        "head_units": chance.choice(UNITS),
        "dropout": chance.choice(DROPOUT),
        "learning_rate": low * (high / low) ** chance.random(),
    }


def _job(arguments: argparse.Namespace, trials: list[dict[str, Any]], scratch: Path) -> Job:
    """Return what the programs share; tlsearch splits the pictures once, for all of them."""
    folder = linked(
        arguments.data, scratch / "images", arguments.images, arguments.seed, arguments.val
    )
    data = Data(path=folder, image_px=arguments.px, splits=Splits(**SPLITS))
    prepared = prepare(data, scratch / "split-once")
    return {
        "data": str(folder),
        "train": listed(data, prepared, "train"),
        "validation": listed(data, prepared, "validation"),
        "classes": len(prepared.classes),
        "trials": trials,
        "image_px": arguments.px,
        "epochs": arguments.epochs,
        "seed": arguments.seed,
        **{name: getattr(arguments, name) for name in ("slots", "cpus", "gpus", "weights")},
        "bound": not arguments.no_bound,
    }


def _measure(letter: str, job: Job, scratch: Path) -> Row:
    """Run one program and return its row of the table."""
    own, slots = scratch / letter, job["slots"]
    own.mkdir()
    if letter in "ab":
        program = "searched.py"
        job = {"config": _config(job, own, 20 if letter == "a" else 0), "study": str(own / "study")}
    else:
        program = "handwritten.py"
        job = job | {"reuse_actors": letter == "d", "scratch": str(own)}
    with Meter() as meter:
        began, result = _run(program, job, own)
    ended, trials = result["ended"], result["trials"]
    return {
        "program": PROGRAMS[letter],
        "letter": letter,
        "wall_s": ended - began,
        "steady": _steady(result.get("ends", ()), slots),
        **meter.measured_between(began, ended),
        "trials": trials,
    }


def _steady(ends: Sequence[float], slots: int) -> float | None:
    """Return trials per minute after each slot has ended one; None if ends are unknown or few."""
    later = ends[slots - 1 :]
    return 60 * (len(later) - 1) / (later[-1] - later[0]) if len(later) > 1 else None


def _config(job: Job, own: Path, cache_gb: float) -> dict[str, Any]:
    """Return a search space of tlsearch that holds exactly these trials."""
    return {
        "name": "speed",
        "data": {"path": job["data"], "image_px": job["image_px"], "splits": SPLITS},
        "space": {
            "backbone": _distinct(trial["backbone"] for trial in job["trials"]),
            "weights": job["weights"],
            "unfrozen_layers": _distinct(trial["unfrozen_layers"] for trial in job["trials"]),
            "head_units": [units or "none" for units in UNITS],
            "dropout": list(DROPOUT),
            "head_lr": {"low": HEAD_LR[0], "high": HEAD_LR[1], "log": True},
            "fine_tune_lr": {"low": FINE_TUNE_LR[0], "high": FINE_TUNE_LR[1], "log": True},
            "optimizer": "adam",
            "batch_size": 32,
        },
        "baselines": [_baseline(trial) for trial in job["trials"]],
        "trials": len(job["trials"]),
        "epochs": job["epochs"],
        "scheduler": {"kind": "asha", "first_rung": 2, "reduction": 3},
        "confirm": 0,
        "seed": job["seed"],
        "resources": {
            "cpus_per_trial": job["cpus"],
            "gpus_per_trial": job["gpus"],
            "max_concurrent": job["slots"],
        },
        "cache": str(own / "cache"),
        "cache_gb": cache_gb,
    }


def _distinct(values: Iterable[Any]) -> list[Any]:
    return list(dict.fromkeys(values))


def _baseline(trial: dict[str, Any]) -> dict[str, Any]:
    rate = "head_lr" if trial["unfrozen_layers"] == 0 else "fine_tune_lr"
    named = {name: value for name, value in trial.items() if name != "learning_rate"}
    units = trial["head_units"] or "none"
    return named | {"head_units": units, rate: trial["learning_rate"]}


def _run(program: str, job: Job, own: Path) -> tuple[float, dict[str, Any]]:
    """Run a program in a separate process; return the moment it began, and its result."""
    (own / "job.json").write_text(json.dumps(job))
    command: list[str | Path] = [
        sys.executable,
        HERE / program,
        own / "job.json",
        own / "result.json",
    ]
    with (own / "log").open("w") as log:
        began = time.monotonic()
        code = _wait(subprocess.Popen(command, stdout=log, stderr=log, env=_environment()))
    if code != 0:
        raise SystemExit(f"{program} failed:\n{(own / 'log').read_text()[-4000:]}")
    result = json.loads((own / "result.json").read_text())
    if len(result["trials"]) != len(job.get("trials", result["trials"])):
        raise SystemExit(f"{program} ran {len(result['trials'])} trials")
    return began, result


def _wait(process: "subprocess.Popen[bytes]") -> int:
    try:
        return process.wait()
    finally:
        if process.poll() is None:  # the benchmark itself was interrupted
            process.terminate()
            process.wait()


def _environment() -> dict[str, str]:
    return os.environ | ENVIRONMENT


def _compared(rows: list[Row], job: Job) -> dict[str, Any]:
    """Return the rows with derived numbers, the ratios to programs by hand, and the bound.

    The bound is for the epochs of the first program.
    """
    images = len(job["train"]["files"])
    for row in rows:
        row["epochs"] = sum(trial["epochs"] for trial in row["trials"])
        row["s_per_epoch"] = row["wall_s"] / row["epochs"]
        row["images_per_s"] = row["epochs"] * images / row["wall_s"]
        scores = [trial["best_accuracy"] for trial in row["trials"]]
        row["best_accuracy"] = max(score for score in scores if score is not None)
    return {
        "ratio": _ratio(rows, "wall_s"),
        "ratio_per_epoch": _ratio(rows, "s_per_epoch"),
        **(_bound(rows[0]["trials"], job) if job["bound"] else {}),
        "rows": rows,
        "images": {split: len(job[split]["files"]) for split in ("train", "validation")},
    }


def _ratio(rows: list[Row], name: str) -> float | None:
    """Return the better hand-written program's number over tlsearch's; None without either."""
    by_hand = [row[name] for row in rows if row["letter"] in "cd"]
    ours = [row[name] for row in rows if row["letter"] == "a"]
    return min(by_hand) / ours[0] if by_hand and ours else None


def _bound(trials: list[Row], job: Job) -> dict[str, float]:
    """Return the bound of compute, from a separate process, since it imports TensorFlow."""
    request = {name: job[name] for name in ("image_px", "classes")} | {"trials": trials}
    request |= {f"{split}_images": len(job[split]["files"]) for split in ("train", "validation")}
    done = subprocess.run(
        [sys.executable, HERE / "bound.py"],
        input=json.dumps(request),
        text=True,
        capture_output=True,
        check=True,
    )
    bounds: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return bounds


def _print(result: dict[str, Any]) -> None:
    images, machine = result["images"], result["machine"]
    print(f"{images['train']} images train, {images['validation']} validate")
    print(f"{machine['processor']}, {machine['cores']} cores")
    print(f"{'program':22} {'wall s':>8} {'epochs':>7} {'s/epoch':>8} {'images/s':>9} {'best':>7}")
    for row in result["rows"]:
        busy = "" if row["busy"] is None else f"  GPU {row['busy']:.0f} % busy"
        print(
            f"{row['program']:22} {row['wall_s']:8.1f} {row['epochs']:7} {row['s_per_epoch']:8.2f}"
            f" {row['images_per_s']:9.1f} {row['best_accuracy']:7.4f}{busy}"
        )
    if result["ratio"] is not None:
        print(f"by hand / tlsearch: {result['ratio']:.2f} of wall seconds,", end=" ")
        print(f"{result['ratio_per_epoch']:.2f} of seconds an epoch")
    if "bound" in result:
        print(
            f"what compute alone allows at these epochs: {result['bound']:.2f} in measured "
            f"seconds, {result['multiply_adds']:.2f} in multiply-adds"
        )


if __name__ == "__main__":
    main()

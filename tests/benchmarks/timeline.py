"""The seconds of each step of a small search, from the start of the command to its end.

    python tests/benchmarks/timeline.py FOLDER [--images 400] [--runs 1] [--set KEY=VALUE ...]

The space is the one that `tlsearch init` prints for `--images` pictures of FOLDER; it runs through
the command line from an empty cache. A row is a step of the search: the second at which it ended,
its duration since the row before, and its name; with several runs, the means. The moments are those
of the events that `--json` writes. Work beside a step, such as the start of Ray while pictures are
read, is in no row. With --phases, each phase of the search follows with its first and last second;
those of a worker arrive up to half a second late.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from large import events
from machine import about
from pictures import linked

COMMAND = (sys.executable, "-m", "tlsearch.cli.main")
# A step -> the event that ends it, and whether the first (0) or the last (-1) such event counts.
STEPS = {
    "arguments, YAML": ("data_reading", 0),
    "reading {images} pictures": ("data_read", 0),
    "Ray starts": ("study_began", 0),
    "workers import TensorFlow, build, trace, first pass": ("epoch_reported", 0),
    "{trials} trials": ("trial_ended", -1),
    "confirmation and refinement": ("confirmed_once", -1),
    "export: write, verify in a clean process, test score": ("study_ended", 0),
    "report, end of the processes": ("ended", 0),
}

Event = dict[str, Any]


def main() -> None:
    arguments = _arguments()
    with tempfile.TemporaryDirectory(prefix="timeline-") as folder:
        pictures = linked(arguments.folder, Path(folder) / "pictures", arguments.images, seed=0)
        space = Path(folder) / "space.yaml"
        space.write_text(_tlsearch("init", pictures).stdout)
        runs = [_events(space, Path(folder) / str(run), arguments) for run in range(arguments.runs)]
    machine = about()["machine"]
    print(f"{machine['processor']}, {machine['cores']} cores; {arguments.runs} runs")
    _print_steps(runs)
    if arguments.phases:
        _print_phases(runs[-1])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--phases", action="store_true")
    return parser.parse_args()


def _tlsearch(*words: object) -> "subprocess.CompletedProcess[str]":
    quiet = {"RAY_USAGE_STATS_ENABLED": "0", "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [*COMMAND, *map(str, words)], capture_output=True, text=True, env=os.environ | quiet
    )
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    return done


def _events(space: Path, own: Path, arguments: argparse.Namespace) -> list[Event]:
    """Return the events of one search; `at` is in seconds since the start of its command."""
    settings = [f"cache={own / 'cache'}", *arguments.set]
    words = [word for setting in settings for word in ("--set", setting)]
    began = time.time()
    done = _tlsearch("run", space, "--json", "--study", own / "study", *words)
    ended = {"event": "ended", "at": time.time()}
    return [event | {"at": event["at"] - began} for event in [*events(done.stderr), ended]]


def _print_steps(runs: Sequence[Sequence[Event]]) -> None:
    print(f"{'until':>7} {'s':>6}  what")
    before = 0.0
    for what, (name, which) in STEPS.items():
        moments = [[event["at"] for event in run if event["event"] == name] for run in runs]
        until = statistics.mean(times[which] for times in moments) if all(moments) else before
        print(f"{until:7.1f} {until - before:6.1f}  {what.format(**_counts(runs[0]))}")
        before = until


def _counts(run: Sequence[Event]) -> dict[str, int]:
    found = {event["event"]: event for event in run}
    return {
        "images": sum(found["data_read"]["images"].values()),
        "trials": found["study_began"]["trials"],
    }


def _print_phases(run: Sequence[Event]) -> None:
    for begun, ended, what in sorted(_phases(run)):
        print(f"{begun:7.1f} {ended:7.1f}  {what}")


def _phases(run: Sequence[Event]) -> Iterator[tuple[float, float, str]]:
    """Yield the phases of a search, each with its first and last second."""
    for event in run:
        if event["event"] == "phase" and event["state"] == "ended":
            what = f"{event['name']} {event['subject']}".strip()
            yield event["at"] - event["seconds"], event["at"], what


if __name__ == "__main__":
    main()

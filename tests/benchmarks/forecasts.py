"""Compare the expected end of searches with the actual one: two searches per folder of pictures.

    python tests/benchmarks/forecasts.py FOLDER... [--searches 2] [--images 400] [--cache FOLDER]
                                         [--set KEY=VALUE ...] [--json OUT]

The space is the one that `tlsearch init` prints for `--images` pictures of a folder, and `tlsearch
plan` measures it once; the searches of a folder differ in their seed. A row is a search. `forecast`
is the range that the search prints before its first trial, for the whole command. The columns after
it are the time left that is displayed when a quarter, a half and three quarters of the trials have
ended. Beside each range is the actual time, with a star if it lies in the range. `trials` and
`after` are the actual seconds of the trials, and of the steps after them, divided by those of the
forecast. A search that a perfect score ends before its last trial does not count.

For data split into folders, give the one called train: the few pictures left of a small validation
split would end a search early.

All searches share one cache, so later ones learn from earlier ones. With --json and --cache the
benchmark can run in parts: rows already in the file are not measured again.
"""

import argparse
import functools
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from measured import Measured, Row
from pictures import linked

from tlsearch.base.phases import Phase
from tlsearch.config.catalog import Direction
from tlsearch.results.live.events import (
    EpochReported,
    Forecast,
    StudyBegan,
    StudyEnded,
    TrialEnded,
)
from tlsearch.results.live.span import Span
from tlsearch.results.live.time_left import TRIALS, TimeLeft

COMMAND = (sys.executable, "-m", "tlsearch.cli.main")
KINDS = {
    "study_began": StudyBegan,
    "forecast": Forecast,
    "epoch_reported": EpochReported,
    "trial_ended": TrialEnded,
    "phase": Phase,
    "study_ended": StudyEnded,
}
QUARTERS = (1, 2, 3)
PARTS = ("trials", "after")


def main() -> None:
    arguments = _arguments()
    measured = Measured(arguments.json, {"images": arguments.images, "set": arguments.set})
    with tempfile.TemporaryDirectory(prefix="forecasts-") as folder:
        for source in arguments.folders:
            _measure(source, Path(folder), arguments, measured)
    _show(measured)


def _measure(source: Path, folder: Path, arguments: argparse.Namespace, measured: Measured) -> None:
    """Measure the missing rows of one folder of pictures."""
    title = source.parent.name if source.name == "train" else source.name
    names = [f"{title} {seed}" for seed in range(arguments.searches)]
    if {*names} <= {*measured.names}:
        return
    pictures = linked(source, folder / "pictures" / title, arguments.images, seed=0)
    cache = arguments.cache or folder / "cache"
    space = _space(folder, pictures, cache.absolute(), arguments.set)
    for seed, name in enumerate(names):
        measured.take(name, functools.partial(_searched, folder, space, seed))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--searches", type=int, default=2)
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def _space(folder: Path, pictures: Path, cache: Path, settings: list[str]) -> list[str]:
    """Return the command-line words for a folder's space, after measuring this machine for it."""
    text = subprocess.run(
        [*COMMAND, "init", pictures.resolve()], check=True, capture_output=True, text=True
    ).stdout
    path = folder / f"{pictures.name}.yaml"
    path.write_text(text)
    more = [f"cache={cache}", *settings]
    words = [str(path), *(word for setting in more for word in ("--set", setting))]
    subprocess.run([*COMMAND, "plan", *words], check=True, capture_output=True)
    return words


def _searched(folder: Path, space: list[str], seed: int) -> Row:
    """Run one search: its forecast, the time left that it displayed, and its actual end."""
    name = f"{Path(space[0]).stem}-{seed}"
    words = ["run", *space, "--set", f"seed={seed}", "--study", str(folder / name), "--json"]
    clock, estimates, marks = [0.0], dict[str, list[float]](), dict[str, float]()
    left, early = TimeLeft(lambda: clock[0]), ""
    for clock[0], event in _events(words):
        left.hear(event)
        if isinstance(event, Forecast):
            estimates["forecast"] = [0.0, event.duration.low, event.duration.high]
            marks["foreseen"] = clock[0]
        if isinstance(event, TrialEnded) and left.span is not None:
            for quarter in QUARTERS:
                if event.ended * 4 >= quarter * event.trials:
                    estimates.setdefault(f"{quarter}/4", [clock[0], left.span.low, left.span.high])
        if isinstance(event, StudyEnded):
            early = event.reason
        if isinstance(event, Phase) and (event.name, event.state) == (TRIALS, "ended"):
            marks["trained"] = clock[0]
    if early:
        return {"name": f"{name}, {early}"}
    ranges = {name: [clock[0] - at, *span] for name, (at, *span) in estimates.items()}
    return {"name": name, **ranges, **_parts(left.forecast, marks, clock[0])}


def _parts(expected: Forecast | None, marks: dict[str, float], end: float) -> dict[str, float]:
    """Return the seconds of the trials and of the steps after them, over the forecast ones."""
    if expected is None:
        return {}
    return {
        "trials": (marks["trained"] - marks["foreseen"]) / expected.seconds,
        "after": (end - marks["trained"]) / (expected.confirm_s + expected.export_s),
    }


def _events(words: list[str]) -> Iterator[tuple[float, Any]]:
    """Yield the seconds from a search's start to each event, and the event; last, a dummy phase."""
    began = time.monotonic()
    process = subprocess.Popen(
        [*COMMAND, *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    for line in process.stderr:
        try:
            fields = json.loads(line)
        except ValueError:
            continue
        kind, _ = KINDS.get(fields.pop("event", None)), fields.pop("time", None)
        if kind is StudyBegan:
            fields["direction"] = Direction(fields["direction"])
        if kind is not None:
            yield time.monotonic() - began, kind(**fields)
    if process.wait() != 0:
        raise SystemExit(f"{' '.join(words)}: exit code {process.returncode}")
    yield time.monotonic() - began, Phase("over", "ended")


def _show(measured: Measured) -> None:
    columns = ("forecast", *(f"{quarter}/4" for quarter in QUARTERS))
    titles = ["search", *(f"{name} | actual" for name in columns), *PARTS]
    print("| " + " | ".join(titles) + " |")
    print("|" + " --- |" * (1 + 2 * len(columns) + len(PARTS)))
    hits = dict.fromkeys(columns, 0)
    for row in measured.rows:
        cells = []
        for name in columns:
            if name not in row:
                cells += ["-", "-"]
                continue
            actual, low, high = row[name]
            hits[name] += low <= actual <= high
            cells += [str(Span(low, high)), f"{actual:.0f} s" + "*" * (low <= actual <= high)]
        cells += [f"{row[part]:.2f}" if part in row else "-" for part in PARTS]
        print(f"| {row['name']} | " + " | ".join(cells) + " |")
    rows = sum("forecast" in row for row in measured.rows)
    print("inside the range: " + ", ".join(f"{n} {hits[n]} of {rows}" for n in columns))


if __name__ == "__main__":
    main()

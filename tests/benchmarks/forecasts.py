"""Whether searches end when they are expected to: two on each folder of pictures.

    python tests/benchmarks/forecasts.py FOLDER... [--searches 2] [--set KEY=VALUE ...] [--json OUT]

The space is the one that `tlsearch init` prints, measured once by `tlsearch plan`; the searches of
a folder differ in their seed. A row is a search: the seconds of its forecast, from there to the end
of the search, and the seconds that were said to be left when a quarter, a half and three quarters
of its trials had ended; each as a range beside what came true, with a star where it did.

Every search is remembered in one cache, so the later ones learn from those before them.
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

from tlsearch.base.phases import Phase
from tlsearch.config.catalog import Direction
from tlsearch.results.live.events import EpochReported, Forecast, Span, StudyBegan, TrialEnded
from tlsearch.results.live.time_left import TimeLeft

COMMAND = (sys.executable, "-m", "tlsearch.cli.main")
KINDS = {
    "study_began": StudyBegan,
    "forecast": Forecast,
    "epoch_reported": EpochReported,
    "trial_ended": TrialEnded,
    "phase": Phase,
}
QUARTERS = (1, 2, 3)


def main() -> None:
    arguments = _arguments()
    settings = {"folders": [path.name for path in arguments.folders], "set": arguments.set}
    measured = Measured(arguments.json, settings)
    with tempfile.TemporaryDirectory(prefix="forecasts-") as folder:
        for pictures in arguments.folders:
            space = _space(Path(folder), pictures, arguments.set)
            for seed in range(arguments.searches):
                searched = functools.partial(_searched, Path(folder), space, seed)
                measured.take(f"{pictures.name} {seed}", searched)
    _show(measured)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--searches", type=int, default=2)
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def _space(folder: Path, pictures: Path, settings: list[str]) -> list[str]:
    """The words that name a folder's space on the command line, once its machine is measured."""
    text = subprocess.run(
        [*COMMAND, "init", pictures.resolve()], check=True, capture_output=True, text=True
    ).stdout
    path = folder / f"{pictures.name}.yaml"
    path.write_text(text)
    more = [f"cache={folder / 'cache'}", *settings]
    words = [str(path), *(word for setting in more for word in ("--set", setting))]
    subprocess.run([*COMMAND, "plan", *words], check=True, capture_output=True)
    return words


def _searched(folder: Path, space: list[str], seed: int) -> Row:
    """One search: its forecast, what was said to be left meanwhile, and when it ended."""
    name = f"{Path(space[0]).stem}-{seed}"
    words = ["run", *space, "--set", f"seed={seed}", "--study", str(folder / name), "--json"]
    clock = [0.0]
    left, told, foreseen_at = TimeLeft(lambda: clock[0]), {}, None
    for clock[0], event in _events(words):
        left.hear(event)
        if isinstance(event, Forecast):
            told["forecast"], foreseen_at = [event.whole.low, event.whole.high], clock[0]
        if isinstance(event, TrialEnded) and left.span is not None:
            for quarter in QUARTERS:
                if event.ended * 4 >= quarter * event.trials:
                    told.setdefault(f"{quarter}/4", [clock[0], left.span.low, left.span.high])
    end = clock[0]
    rows = {"forecast": [end - foreseen_at, *told["forecast"]]} if foreseen_at else {}
    late = {f"{q}/4": told[f"{q}/4"] for q in QUARTERS if f"{q}/4" in told}
    return {"name": name, **rows, **{n: [end - at, *span] for n, (at, *span) in late.items()}}


def _events(words: list[str]) -> Iterator[tuple[float, Any]]:
    """When each event of a search was heard, and the event; at its end a phase of nothing."""
    process = subprocess.Popen(
        [*COMMAND, *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    for line in process.stderr:
        try:
            told = json.loads(line)
        except ValueError:
            continue
        kind, _ = KINDS.get(told.pop("event", None)), told.pop("time", None)
        if kind is StudyBegan:
            told["direction"] = Direction(told["direction"])
        if kind is not None:
            yield time.monotonic(), kind(**told)
    if process.wait() != 0:
        raise SystemExit(f"{' '.join(words)}: exit code {process.returncode}")
    yield time.monotonic(), Phase("over", "ended")


def _show(measured: Measured) -> None:
    columns = ("forecast", *(f"{quarter}/4" for quarter in QUARTERS))
    print("| search | " + " | ".join(f"{name} | actual" for name in columns) + " |")
    print("| --- |" + " --- |" * (2 * len(columns)))
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
        print(f"| {row['name']} | " + " | ".join(cells) + " |")
    rows = len(measured.rows)
    print("inside the range: " + ", ".join(f"{n} {hits[n]} of {rows}" for n in columns))


if __name__ == "__main__":
    main()

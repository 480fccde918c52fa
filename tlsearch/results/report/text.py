"""A leaderboard as CSV, JSON, Markdown or Parquet, and the sentences below it."""

import contextlib
import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from tlsearch.base.files import atomic_file
from tlsearch.base.markdown import escape, markdown_table
from tlsearch.config.device import DeviceProfile
from tlsearch.config.spelling import spell_widths, with_spaces
from tlsearch.results.rank.leaderboard import COLUMNS, CONFIG_COLUMNS, Leaderboard, to_table
from tlsearch.results.rank.standings import ranked_trials
from tlsearch.results.record.file_names import ARTIFACTS, DATA
from tlsearch.results.record.journal import LEFT_OUT, StudyRecord, TrialRecord, results_on_test
from tlsearch.results.report.forecast_line import FORECAST, forecast_line
from tlsearch.results.report.readable_table import WINNER, Grid, readable_rows
from tlsearch.results.report.readable_table import format_cell as format_cell
from tlsearch.results.report.selection import Row, Selection
from tlsearch.results.report.verdict import baseline_rows, last_test, named_test, verdict

TextFormat = Literal["csv", "json", "md"]

NOTES = {  # the meaning of columns whose names do not explain it
    "epoch": "epoch: best epoch/last epoch; 0 is the head after the warm-up, which trains the head "
    "alone before the epochs begin",
    "lr": "lr: learning rate of the head if nothing is unfrozen, else of everything that trains",
    "trained": "trained: number of weights that were trained",
    "share": "share: share of the network's multiply-adds in its trained part",
}
TIES = {
    "=": "=: the validation split cannot tell this trial from the leader",
    "~": "~: perhaps tied, judged by intervals alone: the predictions of this trial or the leader "
    "were not kept, so they cannot be compared image by image",
}


def render(board: Leaderboard, form: TextFormat, view: Selection | None = None) -> str:
    """Render the leaderboard as CSV, JSON or Markdown."""
    view = view or Selection()
    if form == "md":
        return _markdown(board, view)
    some = [view.selected(row) for row in view.of(board.rows)]
    if form == "csv":
        return _csv(some, view.columns or COLUMNS)
    document = _document(board.record, board.about, some)
    return json.dumps(document, indent=2, allow_nan=False) + "\n"


def write_parquet(path: Path, board: Leaderboard, view: Selection) -> None:
    """Write the leaderboard atomically as a Parquet file; settings of mixed types become text."""
    import pandas as pd

    frame = to_table(view.of(board.rows))[list(view.columns or COLUMNS)]
    for name in frame.columns.intersection(pd.Index(CONFIG_COLUMNS)):
        if frame[name].dtype == object:
            frame[name] = frame[name].map(lambda value: None if value is None else str(value))
    with atomic_file(path, follow=True) as file:
        frame.to_parquet(file, index=False)


def summary(record: StudyRecord, about: Mapping[str, Any]) -> list[str]:
    """List the facts that complement the table, one sentence per line: baselines, a warm-up better
    than all trials, other test scores, pictures left out, device, formats left out, computing done,
    forecast.
    """
    metric = about["config"]["metric"]
    lines = [f"{name}: {value:.4f} validation {metric}" for name, value in baseline_rows(record)]
    lines += _warm_up_lines(record)
    test = last_test(record, about)
    lines += [] if test is None else _other_scores(test)
    device = device_line(about)
    lines += [*_left_out(about), *([device] if device else [])]
    for name, why in record.facts.get(LEFT_OUT, {}).items():
        lines.append(f"left out of the exported model: {name}: {why}")
    return [*lines, *(line for line in (work_line(record), forecast_line(record)) if line)]


def _warm_up_lines(record: StudyRecord) -> list[str]:
    """A sentence if the warm-up of a trial alone was better than the best trial."""
    order = ranked_trials(record)
    leader = order[0].best(record.direction) if order else None
    found = [(value, trial) for trial in order if (value := trial.better_warm_up(record.direction))]
    if not found or leader is None:
        return []
    value, trial = min(found, key=lambda pair: record.direction.key(pair[0]))
    if not record.direction.better(value, leader[1]):
        return []
    head = spell_widths(trial.config.get("head_units", []))
    return [
        f"warm-up alone, before anything is unfrozen: {value:.4f} "
        f"({trial.config.get('backbone')}, head {head}), better than every trial; add 0 to "
        "space.unfrozen_layers (or unfrozen_blocks) to try the head alone"
    ]


def _left_out(about: Mapping[str, Any]) -> list[str]:
    """A sentence on the unreadable pictures that were left out: their number, the first names."""
    lost = about.get("data", {}).get("unreadable")
    if not lost:
        return []
    more = lost["pictures"] - len(lost["first"])
    named = "; ".join(lost["first"]) + (f" and {more} more, see {ARTIFACTS}/{DATA}" if more else "")
    return [f"unreadable pictures, left out: {lost['pictures']} ({named})"]


def device_line(about: Mapping[str, Any]) -> str | None:
    """Name the device and the precision of the trials; None if study.yaml does not hold them."""
    with contextlib.suppress(KeyError, TypeError, ValueError):
        return f"computed on: {DeviceProfile.of(about['device'])}"
    return None


def _other_scores(test: Mapping[str, Any]) -> list[str]:
    """The other scores from the same evaluation on the test split."""
    scores = [
        f"{with_spaces(name)} {value:.4f}"
        for name, value in test.get("scores", {}).items()
        if name != test["metric"]
    ]
    return [f"test {', '.join(scores)}"] if scores else []


def _csv(table: Iterable[Row], columns: Sequence[str]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
    return text.getvalue()


def _document(
    record: StudyRecord, about: Mapping[str, Any], table: Sequence[Row]
) -> dict[str, object]:
    return {
        "study": {
            "name": about["config"]["name"],
            "metric": about["config"]["metric"],
            "direction": record.direction,
            "data": about.get("data", {}),
            "versions": about.get("versions", {}),
            "test": last_test(record, about),
            "tests": [named_test(test, about) for test in results_on_test(record)],
            "work_ratio": work_ratio(record.trials),
            "forecast": record.facts.get(FORECAST),
        },
        "baselines": [{"name": name, "metric": value} for name, value in baseline_rows(record)],
        "trials": table,
    }


def _markdown(board: Leaderboard, view: Selection) -> str:
    name, metric = board.about["config"]["name"], board.metric
    grid, verdict_lines = readable_rows(board.rows, metric, view), verdict(board).text()
    lines = [f"# {name}: {len(grid.body)} trials by validation {metric}", ""]
    lines += (
        [*(f"- {escape(line)}" for line in verdict_lines), ""]
        if verdict_lines and not view.columns
        else []
    )
    lines += [*markdown_table(grid.columns, grid.body), ""]
    lines += [f"- {escape(line)}" for line in (*explain(grid), *summary(board.record, board.about))]
    return "\n".join(lines).rstrip() + "\n"


def explain(grid: Grid) -> list[str]:
    """Explain the columns and marks of a table that need it."""
    found = [text for name, text in NOTES.items() if name in grid.columns]
    if "95 %" in grid.columns:
        found.append("95 %: Wilson confidence interval, from the number of validation images")
    if "tie" in grid.columns:
        marks = {row[grid.columns.index("tie")] for row in grid.body}
        found += [text for mark, text in TIES.items() if mark in marks]
    if any(row[0].endswith(WINNER) for row in grid.body if grid.columns[0] == "rank"):
        found.append("*: the winner, which is exported and tested")
    return found


def work_ratio(trials: Iterable[TrialRecord]) -> float | None:
    """Return the ratio of multiply-adds done to the minimum; None if no trial recorded its work.

    The minimum is one pass of each frozen prefix over every image and view, plus the layers that
    the trials train on top of it. The ratio is below 1 if features of an earlier study were in the
    cache.
    """
    works = [trial.work for trial in trials if trial.work]
    passes: dict[str, float] = {}
    for work in works:
        name = str(work["prefix"])
        passes[name] = max(passes.get(name, 0.0), float(work["prefix_pass"]))
    least = sum(passes.values()) + sum(float(work["least"]) for work in works)
    return sum(float(work["done"]) for work in works) / least if least else None


def work_line(record: StudyRecord) -> str | None:
    """Describe `work_ratio` in a sentence, with the reason if it is below 1; None if it is None."""
    ratio = work_ratio(record.trials)
    if ratio is None:
        return None
    found = " (an earlier study left its features in the cache)" if ratio < 0.995 else ""
    least = f"{ratio:.2f} times the minimum for these trials{found}"
    return f"compute: {least}; at 1 nothing is computed twice"

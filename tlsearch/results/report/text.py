"""A leaderboard as text: CSV, JSON, Markdown; as a Parquet file; and the sentences below it."""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from tlsearch.base.files import whole_file
from tlsearch.base.markdown import markdown_table
from tlsearch.config.spelling import spell
from tlsearch.results.rank import confirmation
from tlsearch.results.rank.context import RankingContext, ranking_context
from tlsearch.results.rank.leaderboard import COLUMNS, CONFIG_COLUMNS, rows, table
from tlsearch.results.rank.standings import ranked
from tlsearch.results.record.journal import LEFT_OUT, StudyRecord, TrialRecord, tested
from tlsearch.results.report.forecast_line import FORECAST, forecast_line
from tlsearch.results.report.readable_table import WINNER, Grid, readable
from tlsearch.results.report.readable_table import cell as cell
from tlsearch.results.report.selection import Row, Selection

TextFormat = Literal["csv", "json", "md"]

TIES = {
    "=": "=: the validation split cannot tell this trial from the leader",
    "~": "~: perhaps the same, by intervals alone: what this trial or the leader predicted was not "
    "kept, so that they cannot be compared image by image",
}


def render(
    record: StudyRecord,
    about: Mapping[str, Any],
    form: TextFormat,
    best: Path | None = None,
    view: Selection | None = None,
) -> str:
    """The leaderboard as text; `about` is what study.yaml holds, `best` the exported bundle."""
    view, context = view or Selection(), ranking_context(record, about, best)
    if form == "md":
        return _markdown(record, about, context, view)
    table = [view.cut(row) for row in view.of(rows(record, context))]
    if form == "csv":
        return _csv(table, view.columns or COLUMNS)
    return json.dumps(_document(record, about, table), indent=2, allow_nan=False) + "\n"


def write_parquet(
    path: Path, record: StudyRecord, context: RankingContext, view: Selection
) -> None:
    """Write the leaderboard as a Parquet file, whole; what has no single type becomes text."""
    import pandas as pd

    frame = table(record, context)
    numbers = [row["trial"] for row in view.of(rows(record, context))]
    frame = frame.set_index("trial", drop=False).loc[numbers, list(view.columns or COLUMNS)]
    for name in frame.columns.intersection(pd.Index(CONFIG_COLUMNS)):
        if frame[name].dtype == object:
            frame[name] = frame[name].map(lambda value: None if value is None else str(value))
    with whole_file(path, follow=True) as file:
        frame.to_parquet(file, index=False)


def baseline_rows(record: StudyRecord) -> list[tuple[str, float]]:
    """Scores on the validation split that a search must beat: name, value."""
    return sorted(record.facts.get("baselines", {}).items(), key=lambda item: str(item[0]))


def summary(record: StudyRecord, about: Mapping[str, Any]) -> list[str]:
    """What a reader wants to know beside the table, a sentence a line."""
    metric = about["config"]["metric"]
    lines = [f"{name}: {value:.4f} validation {metric}" for name, value in baseline_rows(record)]
    lines += _warm_up_lines(record)
    lines += confirmation.lines(record, ranking_context(record, about).counted)
    test = last_test(record, about)
    if test is not None:
        lines.append(
            f"test {test['metric']} of trial {test['trial']}, evaluated once: {test['value']:.4f}"
            f"{_between(test)} on {test['images']} images"
        )
        lines += _other_scores(test)
    lines += _left_out(about)
    winners = len(tested(record))
    if winners > 1:
        lines.append(f"the test split was evaluated for {winners} winners")
    for name, why in record.facts.get(LEFT_OUT, {}).items():
        lines.append(f"left out of the exported model: {name}: {why}")
    return [*lines, *(line for line in (work_line(record), forecast_line(record)) if line)]


def _warm_up_lines(record: StudyRecord) -> list[str]:
    """That a warm-up alone was better than the best trial, where it was."""
    order = ranked(record)
    leader = order[0].best(record.direction) if order else None
    found = [(value, trial) for trial in order if (value := trial.better_warm_up(record.direction))]
    if not found or leader is None:
        return []
    best = max if record.direction == "max" else min
    value, trial = best(found, key=lambda pair: pair[0])
    if best(value, leader[1]) == leader[1]:
        return []
    head = spell(trial.config.get("head_units", []))
    return [
        f"warm-up alone: {value:.4f} ({trial.config.get('backbone')}, head {head}), better than "
        "every trial; with 0 among its depths the search would try the head alone"
    ]


def _left_out(about: Mapping[str, Any]) -> list[str]:
    """The unreadable pictures that the study left out: how many, and the first of them."""
    lost = about.get("data", {}).get("unreadable")
    if not lost:
        return []
    more = lost["pictures"] - len(lost["first"])
    named = "; ".join(lost["first"]) + (
        f" and {more} more, see artifacts/data.json" if more else ""
    )
    return [f"unreadable pictures, left out: {lost['pictures']} ({named})"]


def last_test(record: StudyRecord, about: Mapping[str, Any]) -> dict[str, Any] | None:
    """The newest test score, its metric by name; None before there is one."""
    test = record.facts.get("test")
    return None if test is None else _named(test, about)


def _named(test: Mapping[str, Any], about: Mapping[str, Any]) -> dict[str, Any]:
    """A test score with its metric: an earlier journal does not name it, and a study has one."""
    return {"metric": about["config"]["metric"], **test}


def _other_scores(test: Mapping[str, Any]) -> list[str]:
    """What else was measured in the same look at the test split."""
    told = [
        f"{name.replace('_', ' ')} {value:.4f}"
        for name, value in test.get("scores", {}).items()
        if name != test["metric"]
    ]
    return [f"test {', '.join(told)}"] if told else []


def _between(test: Mapping[str, Any]) -> str:
    """The interval and how it came about, which an earlier journal does not say."""
    if "low" not in test:
        return ""
    rounds = f" of {test['rounds']} rounds" if "rounds" in test else ""
    method = f", {test['interval']}{rounds}" if "interval" in test else ""
    return f" ({test['low']:.4f} to {test['high']:.4f}{method})"


def _csv(table: Iterable[Row], columns: Sequence[str]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
    return text.getvalue()


def _document(
    record: StudyRecord, about: Mapping[str, Any], table: Sequence[Row]
) -> dict[str, Any]:
    return {
        "study": {
            "name": about["config"]["name"],
            "metric": about["config"]["metric"],
            "direction": record.direction,
            "data": about.get("data", {}),
            "versions": about.get("versions", {}),
            "test": last_test(record, about),
            "tests": [_named(test, about) for test in tested(record)],
            "work_ratio": work_ratio(record.trials),
            "forecast": record.facts.get(FORECAST),
        },
        "baselines": [{"name": name, "metric": value} for name, value in baseline_rows(record)],
        "trials": table,
    }


def _markdown(
    record: StudyRecord, about: Mapping[str, Any], context: RankingContext, view: Selection
) -> str:
    name, metric = about["config"]["name"], about["config"]["metric"]
    grid = readable(record, metric, context, view)
    lines = [f"# {name}: {len(grid.body)} trials by validation {metric}", ""]
    lines += [*markdown_table(grid.columns, grid.body), ""]
    lines += [f"- {line}" for line in (*explain(grid), *summary(record, about))]
    return "\n".join(lines).rstrip() + "\n"


def explain(grid: Grid) -> list[str]:
    """What the marks of a table mean, where it has any."""
    found = []
    if "95 %" in grid.columns:
        found.append("95 %: the interval that the number of validation images allows (Wilson)")
    if "tie" in grid.columns:
        marks = {row[grid.columns.index("tie")] for row in grid.body}
        found += [text for mark, text in TIES.items() if mark in marks]
    if any(row[0].endswith(WINNER) for row in grid.body if grid.columns[0] == "rank"):
        found.append("*: the winner, which is exported and tested")
    return found


def work_ratio(trials: Iterable[TrialRecord]) -> float | None:
    """Multiply-adds done, over the least possible; None where no trial says.

    The least: one pass of each frozen prefix for every image and view, and what trials train
    beyond it. Below 1 where an earlier study's features were found in the cache.
    """
    works = [trial.work for trial in trials if trial.work]
    passes: dict[str, float] = {}
    for work in works:
        name = str(work["prefix"])
        passes[name] = max(passes.get(name, 0.0), float(work["prefix_pass"]))
    least = sum(passes.values()) + sum(float(work["least"]) for work in works)
    return sum(float(work["done"]) for work in works) / least if least else None


def work_line(record: StudyRecord) -> str | None:
    """The ratio in words, with the reason where it is below 1; None where no trial says."""
    ratio = work_ratio(record.trials)
    if ratio is None:
        return None
    found = " (an earlier study left its features in the cache)" if ratio < 0.995 else ""
    return f"work done over the least possible: {ratio:.2f}{found}"

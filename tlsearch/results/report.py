"""A leaderboard as text: CSV, JSON, Markdown; and the report folder of a study."""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from tlsearch.files import write_text
from tlsearch.results.journal import StudyRecord
from tlsearch.results.leaderboard import COLUMNS, rows

TextFormat = Literal["csv", "json", "md"]

# Shown where a search varies it: what the column is called, and where its value comes from.
_VARIED = {
    "backbone": ("backbone",),
    "weights": ("weights",),
    "unfrozen": ("unfrozen_layers",),
    "batch norm": ("train_batch_norm",),
    "head": ("head_units",),
    "dropout": ("dropout",),
    "lr": ("head_lr", "fine_tune_lr"),
    "optimizer": ("optimizer",),
    "decay": ("weight_decay",),
    "batch": ("batch_size",),
}


def readable(
    record: StudyRecord, metric: str, top: int | None = None
) -> tuple[list[str], list[list[str]]]:
    """The leaderboard for people: column names and cells; what never varies is left out.

    `epoch` reads best/last; `lr` is the rate of the trial's own phase.
    """
    table = rows(record)
    varied = [name for name, keys in _VARIED.items() if len({_first(r, keys) for r in table}) > 1]
    body = [
        [
            cell(row["rank"]),
            str(row["trial"]),
            row["state"],
            "-" if row["metric"] is None else f"{row['metric']:.4f}",
            f"{cell(row['best_epoch'])}/{row['epochs']}",
            f"{row['seconds']:.1f}",
            *(_short(_first(row, _VARIED[name])) for name in varied),
        ]
        for row in table[:top]
    ]
    return ["rank", "trial", "state", metric, "epoch", "seconds", *varied], body


def _first(row: Mapping[str, Any], keys: Sequence[str]) -> Any:
    return next((row[key] for key in keys if row[key] is not None), None)


def _short(value: Any) -> str:
    """Three digits are enough to tell two trials apart."""
    return f"{value:.3g}" if isinstance(value, float) else cell(value)


def render(record: StudyRecord, about: Mapping[str, Any], form: TextFormat) -> str:
    """The leaderboard as text; `about` is what study.yaml holds."""
    if form == "csv":
        return _csv(rows(record))
    if form == "json":
        return json.dumps(_document(record, about), indent=2, allow_nan=False) + "\n"
    return _markdown(record, about)


def write_report(folder: Path, record: StudyRecord, about: Mapping[str, Any]) -> None:
    """Write leaderboard.csv, .json and .md into the folder, each whole."""
    for form in ("csv", "json", "md"):
        write_text(folder / f"leaderboard.{form}", render(record, about, form))


def baseline_rows(record: StudyRecord) -> list[tuple[str, float]]:
    """Scores on the validation split that a search must beat: name, value."""
    return sorted(record.facts.get("baselines", {}).items(), key=lambda item: str(item[0]))


def summary(record: StudyRecord, about: Mapping[str, Any]) -> list[str]:
    """What a reader wants to know beside the table, a sentence a line."""
    metric = about["config"]["metric"]
    lines = [f"{name}: {value:.4f} validation {metric}" for name, value in baseline_rows(record)]
    test = record.facts.get("test")
    if test is not None:
        lines.append(
            f"test {metric} of trial {test['trial']}, evaluated once: {test['value']:.4f} "
            f"on {test['images']} images"
        )
    return lines


def cell(value: Any) -> str:
    """A value as a table shows it: four digits, '-' for what does not exist."""
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _csv(table: Iterable[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
    return text.getvalue()


def _document(record: StudyRecord, about: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "study": {
            "name": about["config"]["name"],
            "metric": about["config"]["metric"],
            "direction": record.direction,
            "data": about.get("data", {}),
            "versions": about.get("versions", {}),
            "test": record.facts.get("test"),
        },
        "baselines": [{"name": name, "metric": value} for name, value in baseline_rows(record)],
        "trials": rows(record),
    }


def _markdown(record: StudyRecord, about: Mapping[str, Any]) -> str:
    name, metric = about["config"]["name"], about["config"]["metric"]
    columns, body = readable(record, metric)
    lines = [f"# {name}: {len(body)} trials by validation {metric}", ""]
    lines += [*_markdown_table(columns, body), ""]
    lines += [f"- {line}" for line in summary(record, about)]
    return "\n".join(lines).rstrip() + "\n"


def _markdown_table(columns: Sequence[str], body: Iterable[Sequence[str]]) -> list[str]:
    head = [columns, ["---"] * len(columns)]
    return ["| " + " | ".join(map(_escape, row)) + " |" for row in (*head, *body)]


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")

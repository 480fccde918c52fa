"""The report of a study as one HTML page that works offline: tables, plots and pictures."""

import base64
import hashlib
import json
import math
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from tlsearch.config.spelling import MAYBE_FILES, file_name, with_spaces, without_folders
from tlsearch.results.rank.importance import Importance, importance, importance_sentences
from tlsearch.results.rank.leaderboard import COLUMN_HELP, CONFIG_COLUMNS, Leaderboard
from tlsearch.results.rank.standings import ranked_trials
from tlsearch.results.record.directory import StudyDirectory
from tlsearch.results.record.journal import StudyRecord, TrialRecord
from tlsearch.results.report import confusions, glossary, plots
from tlsearch.results.report.forecast_line import forecast_line
from tlsearch.results.report.page_files import Artifacts, DataAudit, ShownPrediction
from tlsearch.results.report.readable_table import format_cell
from tlsearch.results.report.text import device_line
from tlsearch.results.report.timeline import best_over_time, timeline
from tlsearch.results.report.verdict import baseline_rows, last_test, verdict

if TYPE_CHECKING:
    from jinja2 import Environment

Table = Sequence[Mapping[str, Any]]

TEMPLATES = Path(__file__).parent / "templates"

UNREADABLE = 200  # unreadable pictures that the page lists by name, at most


def render_html(board: Leaderboard, home: StudyDirectory) -> str:
    """Render the page of a study.

    Reads only small files of its directory, if they exist: curves, artifacts/, the best model's
    manifest. Needs neither the data nor TensorFlow.
    """
    board, artifacts = replace(board, record=_without_paths(board.record)), Artifacts(home)
    template = _environment().get_template("report.html.j2")
    return template.render(
        _results(board, artifacts)
        | _study(board.about)
        | _machinery()
        | {
            "data": artifacts.data(),
            "winner": artifacts.winner(),
            "tested": artifacts.test(),
            "exports": artifacts.exports(),
            "picture": artifacts.picture,
            "unreadable_shown": UNREADABLE,
        }
    )


def _results(board: Leaderboard, artifacts: Artifacts) -> dict[str, object]:
    """The template variables of the results: verdict, headline, table, plots, trial details."""
    record, metric, config = board.record, board.metric, board.about["config"]
    mattered, slices = (
        importance(record, config.get("space", {})),
        plots.slice_plots(record, metric),
    )
    page = {
        "metric": with_spaces(metric),
        "figures": {f"slice-{name}": plot for name, plot in slices.items()}
        | _figures(board, mattered),
        "trials": _trials(record, board.rows, artifacts),
        "words": glossary.REASONS,
    }
    return {
        "verdict": verdict(board),
        "headline": _headline(board),
        "board": _board(board.rows, metric),
        "page": json_for_html(page),
        "slices": sorted(slices),
        "mattered": mattered,
        "mattered_lines": importance_sentences(mattered, with_spaces(metric)),
    }


def _study(about: Mapping[str, Any]) -> dict[str, object]:
    """The template variables of the study's configuration, and the definitions of terms."""
    config = about["config"]
    columns = {**COLUMN_HELP, **glossary.CURVE}
    return {
        "name": config["name"],
        "metric": config["metric"],
        "versions": about.get("versions", {}),
        "device": device_line(about),
        "command": _command(about),
        "yaml": yaml.safe_dump(_elsewhere(config), sort_keys=False, allow_unicode=True),
        "columns": columns,
        "terms": glossary.TERMS,
        "meaning": glossary.METRICS.get(config["metric"], ""),
        "meanings": glossary.SCORES,
        "meanings_json": json_for_html(columns),
    }


def _without_paths(record: StudyRecord) -> StudyRecord:
    """The record with file names instead of paths for networks and weights that are files."""
    trials = (replace(one, config=without_folders(one.config)) for one in record.trials)
    return replace(record, trials=tuple(trials))


def _elsewhere(config: Mapping[str, Any]) -> dict[str, object]:
    """A configuration for other readers: file names instead of paths, no folder of this machine."""
    kept = {key: value for key, value in config.items() if key != "cache"}
    if file_name(config.get("storage")) != config.get("storage"):
        del kept["storage"]
    data, space = config.get("data"), config.get("space")
    if isinstance(data, Mapping):
        kept["data"] = {key: file_name(value) for key, value in data.items()}
    if isinstance(space, Mapping):
        listed = {key: space[key] for key in MAYBE_FILES if isinstance(space.get(key), list)}
        names = {key: [file_name(one) for one in values] for key, values in listed.items()}
        kept["space"] = {**space, **names}
    return kept


def _machinery() -> dict[str, str]:
    """The page's style and scripts, and the hashes that its content security policy allows."""
    script = (TEMPLATES / "report.js").read_text(encoding="utf-8")
    plotly = _plotly()
    return {
        "style": (TEMPLATES / "report.css").read_text(encoding="utf-8"),
        "plotly": plotly,
        "script": script,
        "script_hashes": " ".join(map(_hash, (plotly, script))),
    }


def _environment() -> "Environment":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "spaced": with_spaces,
        "kilobytes": lambda count: f"{count / 1000:,.0f} kB",
        "confusion_table": confusions.confusion_rows,
        "confusions": confusions.most_frequent,
        "worst_confusion": confusions.worst_mistake,
        "pictures": _pictures,
        "counts": _counts,
        "capitalize_first": lambda line: line[:1].upper() + line[1:],
    }
    return environment


def _plotly() -> str:
    """The plotly.js script that is installed with the Python package plotly."""
    from plotly.offline import get_plotlyjs  # type: ignore[import-untyped]

    script: str = get_plotlyjs()
    assert "</script" not in script.lower(), "plotly's script cannot end the element it is in"
    # HTML parsers turn every line end into \n, and the browser hashes the parsed text.
    return script.replace("\r\n", "\n").replace("\r", "\n")


def _hash(script: str) -> str:
    """The hash of a script, as the page's content security policy expects it."""
    digest = hashlib.sha256(script.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"


def json_for_html(value: Any) -> str:
    """JSON that is safe inside HTML: <, > and & are escaped, NaN and infinities become null."""
    text = json.dumps(_finite(value), allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, str | int | float | None) else str(value)


def _headline(board: Leaderboard) -> dict[str, object]:
    record, table, best = board.record, board.rows, board.leader
    states = [trial.state for trial in record.trials if trial.state != "waiting"]
    test = last_test(record, board.about)
    return {
        "best": best,
        "test": test if best and test and test["trial"] == best["trial"] else None,
        "baselines": baseline_rows(record),
        "forecast": forecast_line(record),
        "states": {state: states.count(state) for state in sorted(set(states))},
        "trials": len(states),
        "varied": [name for name in CONFIG_COLUMNS if _varies(name, table)],
        "fixed": {
            name: _cell(name, table[0][name]) for name in CONFIG_COLUMNS if _is_fixed(name, table)
        },
    }


def _varies(name: str, table: Table) -> bool:
    return len({row[name] for row in table}) > 1


def _is_fixed(name: str, table: Table) -> bool:
    return bool(table) and not _varies(name, table) and table[0][name] is not None


def _board(table: Table, metric: str) -> dict[str, object]:
    """The leaderboard: its columns, without settings that never vary, and one row per trial."""
    names = [name for name in (table[0] if table else ()) if _worth_a_column(name, table)]
    columns = [
        {
            "name": name,
            "title": with_spaces(metric if name == "metric" else name),
            "meaning": glossary.of_column(name, metric),
            "number": all(isinstance(row[name], int | float | None) for row in table),
        }
        for name in names
    ]
    body = [
        [{"sort": row[name], "shown": _cell(name, row[name])} for name in names] for row in table
    ]
    return {"columns": columns, "rows": body, "numbers": [row["trial"] for row in table]}


def _worth_a_column(name: str, table: Table) -> bool:
    if name == "log":
        return False
    if name in (*CONFIG_COLUMNS, "seed"):
        return _varies(name, table)
    return any(row[name] is not None for row in table)


def _cell(name: str, value: Any) -> str:
    """Format a value of the leaderboard for people."""
    if name in ("metric", "low", "high") and value is not None:
        return f"{value:.4f}"
    if isinstance(value, float):
        return f"{value:.1f}" if name == "seconds" else f"{value:.3g}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return format_cell(value)


def _figures(board: Leaderboard, mattered: Importance) -> dict[str, plots.Figure]:
    """Plot name -> figure, for every plot of the whole study that is not empty."""
    record, metric, figures = board.record, board.metric, {"timeline": timeline(board.record)}
    if ranked_trials(record):
        scheduler = board.about["config"].get("scheduler", {})
        figures["curves"] = plots.learning_curves(record, metric, scheduler)
        figures["seconds"] = plots.against_seconds(record, metric)
        figures["parallel"] = plots.parallel_coordinates(record, metric)
        figures["more"] = best_over_time(record, metric)
    if mattered.effects:
        figures["importance"] = plots.importance_bars(mattered.effects)
    return figures


def _trials(record: StudyRecord, table: Table, artifacts: Artifacts) -> dict[int, dict[str, Any]]:
    """Trial number -> the details that the page shows when the trial's row is opened."""
    known = {row["trial"]: row for row in table}
    return {
        trial.number: {
            "state": trial.state,
            "reason": trial.reason,
            "config": dict(trial.config),
            "result": _result(known[trial.number], trial),
            "curve": artifacts.curves(trial.number) or _journal_curve(trial),
        }
        for trial in record.trials
        if trial.number in known
    }


def _result(row: Mapping[str, Any], trial: TrialRecord) -> dict[str, str]:
    hidden = ("reason", "state", "seed", *CONFIG_COLUMNS)
    known = {name: value for name, value in row.items() if value is not None}
    worker = {"worker": trial.worker} if trial.worker else {}
    return {name: _cell(name, known[name]) for name in known if name not in hidden} | worker


def _journal_curve(trial: TrialRecord) -> list[dict[str, object]]:
    return [{"epoch": epoch, "value": trial.values[epoch]} for epoch in sorted(trial.values)]


def _command(about: Mapping[str, Any]) -> str:
    """The shell commands that run this study again from the YAML that the page shows."""
    versions, name = about.get("versions", {}), about["config"]["name"]
    pins = [f"{package}=={version}" for package, version in versions.items() if package != "python"]
    install = shlex.join(["pip", "install", *pins])
    run = shlex.join(["tlsearch", "run", f"{name}.yaml", "--study", f"runs/{name}-again"])
    return f"{install}\n{run}"


def _pictures(
    predictions: Iterable[ShownPrediction], artifacts_picture: Any
) -> list[tuple[ShownPrediction, str | None]]:
    return [(prediction, artifacts_picture(prediction.picture)) for prediction in predictions]


def _counts(data: DataAudit) -> list[tuple[str, list[int]]]:
    """For each class, its pictures in each split, in the order of `images`."""
    return [
        (name, [counts.get(name, 0) for counts in data.images.values()]) for name in data.classes
    ]

"""The plots of a study as plain plotly figures; the page's script adds the colours of its theme."""

import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tlsearch.config.networks.unfreezing import RATES
from tlsearch.config.scheduler import rungs
from tlsearch.config.spelling import with_spaces
from tlsearch.results.rank.importance import Effect, in_order, is_range, varied_parameters
from tlsearch.results.rank.standings import ranked_trials
from tlsearch.results.record.journal import StudyRecord, TrialRecord

Figure = dict[str, Any]

NAMED_CURVES = 8  # of the best trials, drawn as separate traces; the others share one per state
MANY = 150  # with more trials than this, lines are drawn nearly transparent
STATE_COLOURS = {
    "finished": "#3b82c4",
    "stopped": "#c98a1b",
    "diverged": "#c0504d",
    "failed": "#c0504d",
    "unfinished": "#8a8f98",
}
FRONT = "#2f9e62"
UNCLEAR = "#8a8f98"
PALETTE = ("#3b82c4", "#d1742f", "#2f9e62", "#c0504d", "#8b6cc4", "#9b7653", "#cf6bb2", "#5aa7a7")
FIFTHS = ("#2f9e62", "#3b82c4", "#8a8f98", "#c98a1b", "#c0504d")


def escape_labels(text: object) -> str:
    """Escape text so that plotly shows it unchanged: plotly reads tags and entities in labels."""
    return html.escape(str(text), quote=False)


def learning_curves(record: StudyRecord, metric: str, scheduler: Mapping[str, Any]) -> Figure:
    """Plot the metric by epoch: the best trials by name, the others together, rungs as dashed
    lines.
    """
    best = ranked_trials(record)[:NAMED_CURVES]
    named = {trial.number for trial in best}
    others = [t for t in record.trials if t.values and t.number not in named]
    traces = [_bundle(others, state) for state in sorted({t.state for t in others})]
    traces += [_curve(trial, index) for index, trial in reversed(list(enumerate(best)))]
    last = max((trial.epochs for trial in record.trials), default=0)
    halves = "first_rung" in scheduler
    marks = rungs(scheduler["first_rung"], scheduler["reduction"], last) if halves else ()
    layout = layout_of("epoch", metric) | {
        "shapes": [_upright(epoch) for epoch in marks],
        "annotations": [_note(epoch, f"rung {epoch}") for epoch in marks],
        "legend": {"traceorder": "reversed"},
    }
    return {"data": traces, "layout": layout}


def importance_bars(effects: Sequence[Effect]) -> Figure:
    """Plot a bar with its interval per parameter, the most important on top.

    Parameters that do not clearly matter are grey.
    """
    some = effects[::-1]
    bar = {
        "type": "bar",
        "orientation": "h",
        "x": [effect.share for effect in some],
        "y": [with_spaces(effect.name) for effect in some],
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [max(0.0, effect.high - effect.share) for effect in some],
            "arrayminus": [max(0.0, effect.share - effect.low) for effect in some],
            "color": UNCLEAR,
            "thickness": 1.5,
        },
        "marker": {"color": [PALETTE[0] if e.word == "matters" else UNCLEAR for e in some]},
        "text": [effect.word for effect in some],
        "textposition": "none",
        "hovertemplate": "%{y}: %{x:.1%}, %{text}<extra></extra>",
    }
    layout = layout_of("variance explained", "")
    layout |= {"height": 120 + 34 * len(some)}
    layout["xaxis"] |= {"tickformat": ".0%", "range": [0, 1]}
    layout["yaxis"] |= {"type": "category", "automargin": True}
    return {"data": [bar], "layout": layout}


def parallel_coordinates(record: StudyRecord, metric: str) -> Figure:
    """Plot one line per trial through the varied parameters, coloured by fifths of the ranking."""
    order = ranked_trials(record)
    axes = {with_spaces(name): values for name, values in varied_parameters(record).items()}
    axes[metric] = [_best_value(trial, record) for trial in order]
    heights = {name: _heights(values) for name, values in axes.items()}
    numbers = [trial.number for trial in order]
    traces = []
    for fifth in reversed(range(min(5, len(numbers)))):
        indices = [p for p in range(len(numbers)) if p * 5 // len(numbers) == fifth]
        traces.append(_lines_through(axes, heights, numbers, indices, fifth))
    layout = layout_of("", "") | {"legend": {"traceorder": "reversed"}, "height": 460}
    layout["yaxis"] = {"visible": False, "range": [-0.14, 1.14]}
    layout["xaxis"] |= {
        "type": "category",
        "tickangle": 30,
        "showgrid": True,
        "categoryorder": "array",  # the default is the order of the first line, which may skip some
        "categoryarray": [escape_labels(name) for name in axes],
    }
    layout["annotations"] = [
        _end(name, end, value)
        for name, values in axes.items()
        for end, value in enumerate(_ends(values))
    ]
    return {"data": traces, "layout": layout}


def slice_plots(record: StudyRecord, metric: str) -> dict[str, Figure]:
    """Plot the best metric of each trial against its value of one parameter; parameter -> plot."""
    order, found = ranked_trials(record), {}
    scores = [_best_value(trial, record) for trial in order]
    for name, every in varied_parameters(record).items():
        indices = [index for index, value in enumerate(every) if value is not None]
        values = [every[index] for index in indices]
        layout = layout_of(with_spaces(name), metric) | {"height": 300, "showlegend": False}
        if not is_range(values):
            ordered = [escape_labels(value) for value in in_order(values)]
            layout["xaxis"] |= {
                "type": "category",
                "categoryorder": "array",
                "categoryarray": ordered,
            }
            values = [escape_labels(value) for value in values]
        elif name in RATES:
            layout["xaxis"] |= {"type": "log"}
        some = [scores[index] for index in indices], [order[index].number for index in indices]
        found[name] = {"data": [_points(values, *some, PALETTE[0])], "layout": layout}
    return found


def against_seconds(record: StudyRecord, metric: str) -> Figure:
    """Plot the best metric against training seconds, with the Pareto front of the two."""
    order = [trial for trial in ranked_trials(record) if trial.seconds > 0]
    front = pareto_front(order, record)
    best = {trial.number: _best_value(trial, record) for trial in order}
    traces = []
    for state in sorted({trial.state for trial in order}):
        some = [trial for trial in order if trial.state == state]
        xs, ys = [t.seconds for t in some], [best[t.number] for t in some]
        traces.append(
            _points(xs, ys, [t.number for t in some], STATE_COLOURS[state]) | {"name": state}
        )
    line = {
        "x": [trial.seconds for trial in front],
        "y": [best[trial.number] for trial in front],
        "mode": "lines",
        "name": "Pareto front",
        "line": {"color": FRONT, "shape": "hv", "dash": "dot"},
        "hoverinfo": "skip",
    }
    layout = layout_of("training seconds", metric)
    layout["xaxis"] |= {"type": "log"}
    return {"data": [*traces, line], "layout": layout}


def pareto_front(order: Iterable[TrialRecord], record: StudyRecord) -> list[TrialRecord]:
    """Return the trials that are better than every faster one, fastest first."""
    key = record.direction.key
    front: list[TrialRecord] = []
    for trial in sorted(order, key=lambda t: (key(_best_value(t, record)), t.seconds)):
        if not front or trial.seconds < front[-1].seconds:
            front.append(trial)
    return front[::-1]


def _curve(trial: TrialRecord, index: int) -> dict[str, Any]:
    epochs = sorted(trial.values)
    return {
        "x": epochs,
        "y": [trial.values[epoch] for epoch in epochs],
        "mode": "lines+markers",
        "name": f"{index + 1}. trial {trial.number}",
        "line": {"color": PALETTE[index % len(PALETTE)], "width": 3 if index == 0 else 2},
        "hovertemplate": f"trial {trial.number}, epoch %{{x}}: %{{y:.4f}}<extra></extra>",
    }


def _bundle(trials: Iterable[TrialRecord], state: str) -> dict[str, Any]:
    """All curves of one state as a single trace with gaps, so that a thousand trials stay fast."""
    xs: list[int | None] = []
    ys: list[float | None] = []
    numbers: list[int | None] = []
    for trial in trials:
        if trial.state == state:
            epochs = sorted(trial.values)
            xs += [*epochs, None]
            ys += [*(trial.values[epoch] for epoch in epochs), None]
            numbers += [*[trial.number] * len(epochs), None]
    return {
        "x": xs,
        "y": ys,
        "customdata": numbers,
        "mode": "lines+markers",
        "marker": {"size": 4},
        "opacity": 0.55,
        "name": f"other, {state}",
        "line": {"color": STATE_COLOURS[state], "width": 1},
        "hovertemplate": "trial %{customdata}, epoch %{x}: %{y:.4f}<extra></extra>",
    }


def _lines_through(
    axes: Mapping[str, Sequence[Any]],
    heights: Mapping[str, Sequence[float]],
    numbers: Sequence[int],
    indices: Iterable[int],
    fifth: int,
) -> dict[str, Any]:
    xs: list[str | None] = []
    ys: list[float | None] = []
    texts: list[str | None] = []
    for index in indices:
        used = [name for name in axes if axes[name][index] is not None]
        xs += [*map(escape_labels, used), None]
        ys += [*(heights[name][index] for name in used), None]
        texts += [f"trial {numbers[index]}: {escape_labels(_short(axes[n][index]))}" for n in used]
        texts += [None]
    return {
        "x": xs,
        "y": ys,
        "text": texts,
        "mode": "lines+markers",
        "marker": {"size": 5},
        "opacity": 0.3 if len(numbers) > MANY else 0.9 if fifth == 0 else 0.5,
        "line": {"color": FIFTHS[fifth], "width": 2 if fifth == 0 else 1},
        "name": ("best fifth", "second", "third", "fourth", "last fifth")[fifth],
        "hovertemplate": "%{x}<br>%{text}<extra></extra>",
    }


def _points(
    xs: Sequence[Any], ys: Sequence[float], numbers: Sequence[int], colour: str
) -> dict[str, Any]:
    return {
        "x": list(xs),
        "y": list(ys),
        "customdata": list(numbers),
        "mode": "markers",
        "marker": {"size": 9, "color": colour, "opacity": 0.75},
        "hovertemplate": "trial %{customdata}: %{y:.4f} at %{x}<extra></extra>",
    }


def _heights(values: Sequence[Any]) -> list[float]:
    """The position of each value on its axis, 0 to 1; 0 for None, which is not drawn.

    Numbers from a range lie in proportion to their size. Choices, and positive numbers that differ
    by a factor of more than 100, are evenly spread in order.
    """
    order = in_order(values)
    least, most = order[0], order[-1]
    if not is_range(values) or (least > 0 and most / least > 100):
        indices = {value: index / max(1, len(order) - 1) for index, value in enumerate(order)}
        return [indices.get(value, 0.0) for value in values]
    return [0.0 if value is None else (value - least) / (most - least) for value in values]


def _ends(values: Sequence[Any]) -> tuple[str, str]:
    order = in_order(values)
    return _short(order[0]), _short(order[-1])


def _end(name: str, end: int, value: str) -> dict[str, Any]:
    shown = escape_labels(value if len(value) < 20 else f"{value[:18]}…")
    return {"x": escape_labels(name), "y": (-0.07, 1.07)[end], "text": shown, "showarrow": False}


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _best_value(trial: TrialRecord, record: StudyRecord) -> float:
    best = trial.best(record.direction)
    assert best is not None, "only trials with values are ranked"
    return best[1]


def _upright(epoch: int) -> dict[str, Any]:
    ends = {"x0": epoch, "x1": epoch, "y0": 0, "y1": 1, "yref": "paper"}
    return {"type": "line", **ends, "line": {"dash": "dash", "width": 1, "color": "#8a8f98"}}


def _note(epoch: int, text: str) -> dict[str, Any]:
    return {"x": epoch, "y": 1, "yref": "paper", "text": text, "showarrow": False, "yshift": 10}


def layout_of(x_title: str, y_title: str) -> dict[str, Any]:
    """Return the layout that all plots start from: axis titles and a height."""
    return {
        "xaxis": {"title": {"text": escape_labels(x_title)}},
        "yaxis": {"title": {"text": escape_labels(with_spaces(y_title))}},
        "height": 420,
    }

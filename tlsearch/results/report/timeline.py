"""Plots over time as plain plotly figures: the trials of each slot, and the best score so far."""

from collections.abc import Iterable, Mapping

from tlsearch.results.rank.outlook import ended_in_order
from tlsearch.results.record.journal import StudyRecord, TrialRecord
from tlsearch.results.report.plots import (
    FRONT,
    PALETTE,
    STATE_COLOURS,
    Figure,
    escape_labels,
    layout_of,
)


def best_over_time(record: StudyRecord, metric: str) -> Figure:
    """Plot the best score so far over the seconds of the search, and a point for each trial."""
    found = ended_in_order(record)
    scored = [step for step in found if step.value is not None]
    known = [step for step in found if step.best is not None]
    points = {
        "x": [step.seconds for step in scored],
        "y": [step.value for step in scored],
        "customdata": [step.trial for step in scored],
        "mode": "markers",
        "name": "a trial, when it ended",
        "marker": {"size": 8, "color": PALETTE[0], "opacity": 0.75},
        "hovertemplate": "trial %{customdata}: %{y:.4f} after %{x:.0f} s<extra></extra>",
    }
    best = {
        "x": [step.seconds for step in known],
        "y": [step.best for step in known],
        "mode": "lines",
        "name": "best so far",
        "line": {"color": FRONT, "width": 3, "shape": "hv"},
        "hoverinfo": "skip",
    }
    layout = layout_of("seconds since the first trial began", f"validation {metric}")
    layout["xaxis"] |= {"rangemode": "tozero"}
    return {"data": [points, best], "layout": layout | {"height": 320}}


def timeline(record: StudyRecord) -> Figure:
    """Plot the trials of each slot as bars, in minutes since the first trial began."""
    bars = _bars(record.trials)
    traces = []
    for state in sorted({trial.state for trial, *_ in bars}):
        some = [bar for bar in bars if bar[0].state == state]
        traces.append(
            {
                "type": "bar",
                "orientation": "h",
                "name": state,
                "base": [start for _, _, start, _ in some],
                "x": [end - start for _, _, start, end in some],
                "y": [escape_labels(slot) for _, slot, _, _ in some],
                "customdata": [trial.number for trial, *_ in some],
                "text": [str(trial.number) for trial, *_ in some],
                "textposition": "inside",
                "insidetextanchor": "middle",
                "textangle": 0,
                "marker": {"color": STATE_COLOURS[state], "line": {"width": 1, "color": "white"}},
                "hovertemplate": "trial %{customdata}: %{x:.2f} minutes<extra>%{y}</extra>",
            }
        )
    layout = layout_of("minutes since the first trial began", "") | {"barmode": "overlay"}
    slots = {slot for _, slot, _, _ in bars}
    layout["height"] = 180 + 44 * len(slots)
    layout["yaxis"] |= {
        "type": "category",
        "automargin": True,
        "categoryorder": "category ascending",
    }
    return {"data": traces, "layout": layout}


def _bars(trials: Iterable[TrialRecord]) -> list[tuple[TrialRecord, str, float, float]]:
    """(trial, slot, start, end) in minutes; no trial begins before its slot is free.

    A trial without a recorded worker takes the first free slot.
    """
    timed = [
        (trial, trial.started.timestamp() / 60, trial.ended.timestamp() / 60)
        for trial in trials
        if trial.started and trial.ended
    ]
    timed.sort(key=lambda item: item[2] if item[0].worker else item[1])
    zero = min((start for _, start, _ in timed), default=0.0)
    free: dict[str, float] = {}
    found = []
    for trial, start, end in timed:
        slot = trial.worker or _first_free(free, start - zero)
        begin = max(start - zero, free.get(slot, 0.0))
        free[slot] = max(end - zero, begin)
        found.append((trial, slot, begin, free[slot]))
    return found


def _first_free(free: Mapping[str, float], now: float) -> str:
    slot = next((name for name, until in free.items() if until <= now), None)
    return slot or f"slot {len(free) + 1}"

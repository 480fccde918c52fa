"""When each slot of a study trained what, as a plain plotly figure."""

from collections.abc import Iterable, Mapping

from tlsearch.results.record.journal import StudyRecord, TrialRecord
from tlsearch.results.report.plots import STATE_COLOURS, Figure, layout_of, plain


def timeline(record: StudyRecord) -> Figure:
    """What each slot trained when, in minutes since the first trial began."""
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
                "y": [plain(slot) for _, slot, _, _ in some],
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
    """Trial, slot, start and end in minutes; a trial begins when its slot is free.

    Where no worker is noted, trials take the first slot that is free.
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

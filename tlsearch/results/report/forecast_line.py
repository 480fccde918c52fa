"""The forecast cost of a search beside its actual cost."""

from collections.abc import Mapping

from tlsearch.results.record.journal import StudyRecord

FORECAST = "forecast"  # the journal's fact: expected and actual seconds, epochs, bytes; trials


def forecast_line(record: StudyRecord) -> str | None:
    """Compare forecast and actual cost in a sentence; None if there was no forecast."""
    fact = record.facts.get(FORECAST)
    if not isinstance(fact, Mapping):
        return None
    expected, actual, trials = fact["expected"], fact["actual"], len(record.trials)
    forecast_trials = fact.get("trials", trials)  # older journals lack it
    last = (
        f" of the last run, for {forecast_trials} of {trials} trials"
        if forecast_trials < trials
        else ""
    )
    return (
        f"forecast and actual cost{last}: {_seconds(expected)} s and {_seconds(actual)} s; "
        f"{_epochs(expected)} and {_epochs(actual)} epochs; "
        f"{format_bytes(expected['bytes'])} and {format_bytes(actual['bytes'])} on disk"
    )


def format_bytes(count: float) -> str:
    """Format a number of bytes for people: 900 kB, 12.3 MB, 4.0 GB."""
    if count < 1e6:
        return f"{count / 1e3:.0f} kB"
    return f"{count / 1e6:.1f} MB" if count < 1e9 else f"{count / 1e9:.1f} GB"


def _seconds(forecast: Mapping[str, object]) -> str:
    return f"{forecast['seconds']:.0f}"


def _epochs(forecast: Mapping[str, object]) -> str:
    return f"{forecast['epochs']:.0f}"

"""What happens during a search, a line an event."""

from tlsearch.results.journal import StudyRecord, TrialRecord
from tlsearch.results.leaderboard import ranked
from tlsearch.results.report import cell


def trial_line(trial: TrialRecord, record: StudyRecord, total: int) -> str:
    """One line on a trial that has ended: how far the study is, what it was, why it ended."""
    ended = sum(t.state not in ("waiting", "unfinished") for t in record.trials)
    best = trial.best(record.direction)
    value = "no value" if best is None else f"{best[1]:.4f} at epoch {best[0]}"
    what = f"{trial.config.get('backbone')} unfrozen {trial.config.get('unfrozen_layers')}"
    reason = trial.reason.splitlines()[-1] if trial.reason else trial.state
    return (
        f"[{ended}/{total}] trial {trial.number} {what}: {value}; {reason}{_leader(trial, record)}"
    )


def _leader(trial: TrialRecord, record: StudyRecord) -> str:
    order = ranked(record)
    if not order:
        return ""
    if order[0].number == trial.number:
        return " (best so far)"
    best = order[0].best(record.direction)
    return "" if best is None else f" (best: trial {order[0].number}, {cell(best[1])})"

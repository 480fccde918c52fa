"""The record of a study -> its trials, ranked."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tlsearch.results.journal import StudyRecord, TrialRecord

if TYPE_CHECKING:
    import pandas as pd

# What a trial's row shows of its configuration.
CONFIG_COLUMNS = (
    "backbone",
    "weights",
    "unfrozen_layers",
    "train_batch_norm",
    "head_units",
    "dropout",
    "head_lr",
    "fine_tune_lr",
    "optimizer",
    "weight_decay",
    "batch_size",
)
COLUMNS = (
    "rank",
    "trial",
    "state",
    "metric",
    "best_epoch",
    "epochs",
    "seconds",
    *CONFIG_COLUMNS,
    "trained_parameters",
    "trained_share",
    "reason",
    "log",
)


def ranked(record: StudyRecord) -> list[TrialRecord]:
    """Trials that reported a sound value, best first; the value is that of the best epoch.

    Equal values rank by trial number. Diverged and failed trials are not ranked.
    """
    sign = -1 if record.direction == "max" else 1
    sound = [t for t in record.trials if t.values and t.state not in ("diverged", "failed")]

    def place(trial: TrialRecord) -> tuple[float, int]:
        best = trial.best(record.direction)
        assert best is not None, "only trials with values are ranked"
        return sign * best[1], trial.number

    return sorted(sound, key=place)


def rows(record: StudyRecord) -> list[dict[str, Any]]:
    """One plain row a trial, ranked ones first, then the rest by number, rank None."""
    order = ranked(record)
    ranks = {trial.number: place for place, trial in enumerate(order, start=1)}
    rest = [t for t in record.trials if t.number not in ranks and t.state != "waiting"]
    return [_row(trial, ranks.get(trial.number), record) for trial in (*order, *rest)]


def table(record: StudyRecord) -> "pd.DataFrame":
    """The leaderboard as a pandas table with the columns of `COLUMNS`."""
    import pandas as pd

    frame = pd.DataFrame(rows(record), columns=list(COLUMNS))
    return frame.astype({"rank": "Int64", "best_epoch": "Int64", "trained_parameters": "Int64"})


def keep_for_export(record: StudyRecord, count: int) -> Sequence[int]:
    """The numbers of the trials whose weights are worth their disk: the best `count`."""
    return [trial.number for trial in ranked(record)[:count]]


def _row(trial: TrialRecord, rank: int | None, record: StudyRecord) -> dict[str, Any]:
    best = trial.best(record.direction)
    return {
        "rank": rank,
        "trial": trial.number,
        "state": trial.state,
        "metric": None if best is None else best[1],
        "best_epoch": None if best is None else best[0],
        "epochs": trial.epochs,
        "seconds": round(trial.seconds, 2),
        **{name: _shown(trial.config.get(name)) for name in CONFIG_COLUMNS},
        "trained_parameters": trial.trained_parameters,
        "trained_share": trial.trained_share,
        "reason": trial.reason,
        "log": f"trials/{trial.number:05d}/log",
    }


def _shown(value: Any) -> Any:
    """Dense widths as text, 256-128 or none; everything else as it is."""
    if isinstance(value, list | tuple):
        return "-".join(str(width) for width in value) or "none"
    return value

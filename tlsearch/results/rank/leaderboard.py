"""The leaderboard of a study: one row per trial, ranked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tlsearch.config.catalog import Direction
from tlsearch.config.networks.unfreezing import BLOCKS, LAYERS
from tlsearch.config.space import Space
from tlsearch.config.spelling import spell_widths, without_folders
from tlsearch.config.trial_config import SHOWN
from tlsearch.results.rank.confirmation import Winner, decided_winner
from tlsearch.results.rank.context import RankingContext, ranking_context
from tlsearch.results.rank.standings import ranked_trials
from tlsearch.results.record.directory import StudyDirectory
from tlsearch.results.record.file_names import LOG, in_trial
from tlsearch.results.record.journal import StudyRecord, TrialRecord

if TYPE_CHECKING:
    import pandas as pd

NOTHING = RankingContext()
SIGNIFICANT = 0.05  # two trials differ if the p-value is smaller

# The configuration columns of a row: every dimension of a search space.
CONFIG_COLUMNS = tuple(Space.model_fields)
# Every column of a leaderboard and what it means; `report --columns help` prints it.
COLUMN_HELP: dict[str, str] = {
    "rank": "place by the metric at each trial's best epoch; equal values by trial number. "
    "Epoch 0, the head after warm-up, counts only for trials that train the head alone",
    "trial": "the trial's number, as in trials/<number>",
    "state": "finished, stopped early, diverged, failed, or unfinished: cut short, or still "
    "running",
    "metric": "the study's metric on the validation split, at the trial's best epoch",
    "low": "lower end of the metric's 95 % interval (Wilson; accuracy only), from the number of "
    "validation images",
    "high": "upper end of that interval",
    "tied": "true where this validation split cannot tell the trial from the leader: p_value is at "
    "least 0.05; or, without a p_value, the leader's value lies in this trial's interval or equals "
    "its value, as if the two were scored on different images",
    "p_value": "p-value of the trial's difference from the leader on the same validation images: "
    "McNemar's exact test for accuracy, a randomisation test for balanced accuracy and macro F1; "
    "empty for other metrics, or if predictions were not kept",
    "winner": "true for the trial that is confirmed, exported and tested; empty until it is "
    "decided",
    "best_epoch": "the epoch of that value, the earliest of equals; 0 is after the head's warm-up",
    "epochs": "the last epoch reported",
    "seconds": "seconds that the trial took, without waiting for a slot",
    **{name: SHOWN[name].help for name in (*CONFIG_COLUMNS, "seed")},
    "trained_parameters": "number of weights that were trained",
    "trained_share": "share of the network's multiply-adds in its trained part, 0 to 1",
    "latency_ms": "milliseconds for one image, of the exported trial's first file, where measured",
    "bytes": "size of that file",
    "reason": "why the trial ended",
    "log": "the trial's log, in the study directory",
}
COLUMNS = tuple(COLUMN_HELP)


def rows(record: StudyRecord, context: RankingContext = NOTHING) -> list[dict[str, object]]:
    """Return one row per trial: ranked trials first, then the others by number with rank None.

    Trials that are still waiting have no row.
    """
    order = ranked_trials(record)
    ranks = {trial.number: place for place, trial in enumerate(order, start=1)}
    rest = [t for t in record.trials if t.number not in ranks and t.state != "waiting"]
    leader = order[0].best(record.direction) if order else None
    top = None if leader is None else leader[1]
    won, paired = decided_winner(record), context.p_values(order, record.direction)
    return [
        _row(trial, ranks.get(trial.number), record.direction, context, top, won, paired)
        for trial in (*order, *rest)
    ]


@dataclass(frozen=True)
class Leaderboard:
    """A ranked study, computed once for all formats of its report.

    `about` is the content of study.yaml, `context` the inputs of the ranking besides the journal,
    `rows` the result of the function `rows`.
    """

    record: StudyRecord
    about: Mapping[str, Any]
    context: RankingContext
    rows: Sequence[Mapping[str, Any]]

    @property
    def metric(self) -> str:
        """The study's metric."""
        metric: str = self.about["config"]["metric"]
        return metric

    @property
    def leader(self) -> Mapping[str, object] | None:
        """The winner's row, else the row of rank 1; None if there is neither."""
        won = [row for row in self.rows if row["winner"]]
        return next(iter(won or [row for row in self.rows if row["rank"] == 1]), None)


def leaderboard(
    record: StudyRecord, about: Mapping[str, Any], best: Path | None = None
) -> Leaderboard:
    """Return the leaderboard of a study; `best` is the folder of the exported bundle."""
    context = ranking_context(record, about, best)
    return Leaderboard(record, about, context, rows(record, context))


def leaderboard_of(home: StudyDirectory) -> Leaderboard:
    """Return the leaderboard of a study directory; raises RecordError if it is damaged."""
    about = home.read_about()
    return leaderboard(home.journal.record(), about, home.best)


def to_table(some: Sequence[Mapping[str, Any]]) -> "pd.DataFrame":
    """Return rows as a pandas DataFrame with the columns `COLUMNS`."""
    import pandas as pd

    frame = pd.DataFrame([dict(row) for row in some], columns=list(COLUMNS))
    whole = ("rank", "best_epoch", "seed", "trained_parameters", "bytes")
    real = ("metric", "low", "high", "p_value", "trained_share", "latency_ms")
    kinds = dict.fromkeys(whole, "Int64") | dict.fromkeys(real, "float64")
    return frame.astype({**kinds, "tied": "boolean", "winner": "boolean"})


def _row(
    trial: TrialRecord,
    rank: int | None,
    direction: Direction,
    context: RankingContext,
    top: float | None,
    won: Winner | None,
    paired: Mapping[int, float],
) -> dict[str, object]:
    epoch, value = trial.best(direction) or (None, None)
    low, high = (None if value is None else context.interval(value)) or (None, None)
    exported, p_value = trial.number == context.exported, paired.get(trial.number)
    return {
        "rank": rank,
        "trial": trial.number,
        "state": trial.state,
        "metric": value,
        "low": low,
        "high": high,
        "tied": None if rank is None else _is_tied(value, low, high, top, p_value),
        "p_value": p_value,
        "winner": None if won is None else trial.number == won.trial,
        "best_epoch": epoch,
        "epochs": trial.epochs,
        "seconds": round(trial.seconds, 2),
        **requested_values(trial.config),
        "seed": trial.config.get("seed"),
        "trained_parameters": trial.trained_parameters,
        "trained_share": trial.trained_share,
        "latency_ms": context.latency_ms if exported else None,
        "bytes": context.bytes if exported else None,
        "reason": _reason(trial, direction),
        "log": in_trial(trial.number, LOG),
    }


def _reason(trial: TrialRecord, direction: Direction) -> str:
    """Return why a trial ended, with a note if its warm-up beat every epoch that counts."""
    before = trial.better_warm_up(direction)
    if before is None:
        return trial.reason
    return "; ".join(filter(None, (trial.reason, f"warm-up was better ({before:.4f})")))


def requested_values(config: Mapping[str, Any]) -> dict[str, object]:
    """Return a trial's configuration columns; `unfrozen_layers` is None if it only follows from
    `unfrozen_blocks`.
    """
    values = without_folders({name: spell_widths(config.get(name)) for name in CONFIG_COLUMNS})
    return values if values[BLOCKS] is None else {**values, LAYERS: None}


def _is_tied(
    value: float | None,
    low: float | None,
    high: float | None,
    top: float | None,
    p_value: float | None,
) -> bool | None:
    """Whether a trial's value cannot be distinguished from the leader's value `top`."""
    if p_value is not None:
        return p_value >= SIGNIFICANT
    if low is None or high is None or top is None:
        return value == top
    return low <= top <= high

"""How much each parameter of the search mattered, by Optuna's PED-ANOVA."""

import logging
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tlsearch.config.trial_config import RATES
from tlsearch.results.rank.leaderboard import CONFIG_COLUMNS, rows
from tlsearch.results.record.journal import StudyRecord

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

log = logging.getLogger(__name__)

LEAST_TRIALS = 10  # below, the best tenth is less than one trial


def parameters(record: StudyRecord) -> dict[str, list[Any]]:
    """What the search varied: name -> its value in every ranked trial, best trial first.

    The two learning rates, of which a trial has one, are one parameter: `learning_rate`.
    """
    ranked = [row for row in rows(record) if row["rank"] is not None]
    columns = {
        name: [_tidy(row[name]) for row in ranked] for name in CONFIG_COLUMNS if name not in RATES
    }
    columns["learning_rate"] = [_tidy(_rate(row)) for row in ranked]
    return {name: values for name, values in columns.items() if len(set(values)) > 1}


def importances(record: StudyRecord) -> dict[str, float]:
    """Parameter -> its share of importance, greatest first; empty where there is too little."""
    import optuna

    columns = parameters(record)
    scores = [row["metric"] for row in rows(record) if row["rank"] is not None]
    if len(scores) < LEAST_TRIALS or not columns:
        return {}
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize" if record.direction == "max" else "minimize")
    study.add_trials(_optuna_trials(columns, scores))
    try:
        found = optuna.importance.get_param_importances(
            study, evaluator=optuna.importance.PedAnovaImportanceEvaluator()
        )
    except (ValueError, RuntimeError) as error:
        log.warning("parameter importances cannot be computed: %s", error)
        return {}
    sound = all(math.isfinite(share) for share in found.values())
    return {name: float(share) for name, share in found.items()} if sound else {}


def is_range(values: Sequence[Any]) -> bool:
    """Whether values came from a range rather than a list of choices: many, and all numbers."""
    distinct = set(values)
    return len(distinct) > 6 and all(_is_number(value) for value in distinct)


def _optuna_trials(columns: Mapping[str, Sequence[Any]], scores: Sequence[float]) -> list[Any]:
    from optuna.trial import create_trial

    spelled = {
        name: list(values) if is_range(values) else [str(value) for value in values]
        for name, values in columns.items()
    }
    spaces = {name: _distribution(name, values) for name, values in spelled.items()}
    return [
        create_trial(
            params={name: values[place] for name, values in spelled.items()},
            distributions=spaces,
            value=score,
        )
        for place, score in enumerate(scores)
    ]


def _distribution(name: str, values: Sequence[Any]) -> "BaseDistribution":
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    if is_range(values):
        return FloatDistribution(min(values), max(values), log=name == "learning_rate")
    return CategoricalDistribution(sorted(set(values)))


def _rate(row: Mapping[str, Any]) -> Any:
    return next((row[name] for name in RATES if row[name] is not None), None)


def _tidy(value: Any) -> Any:
    """Without the last digits that steps of a range leave: 0.30000000000000004 is 0.3."""
    return float(f"{value:.6g}") if isinstance(value, float) else value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)

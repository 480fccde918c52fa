"""The Optuna study of a search; if the space was changed, a new one with the old trials."""

import math
from typing import Any

import optuna
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from tlsearch.config.catalog import Direction
from tlsearch.config.schema import SearchConfig
from tlsearch.config.space import Space
from tlsearch.config.trial_config import TrialConfig
from tlsearch.results.record.journal import SPACE, newest_name, next_name, read_trial
from tlsearch.search.propose.optuna_space import (
    as_parameters,
    contains,
    distribution,
    parameters_of,
)

_FIXED = "fixed_params"  # where Optuna keeps the parameters of an enqueued trial
_DRAWN = "tpe:"  # prefix of the attributes that TPE writes while it draws for a trial


def newest_study(config: SearchConfig, storage: BaseStorage) -> optuna.Study:
    """Return the newest Optuna study of a journal.

    It is created if there is none, and reopened if its space is not that of the configuration. The
    space is written last, so that a driver that is killed before leaves the old study in place.
    """
    space = config.space.model_dump(mode="json", exclude_none=True)
    name = newest_name(storage)
    if name is None:
        study = _create(config, storage)
    else:
        study = optuna.load_study(study_name=name, storage=storage)
        if study.user_attrs.get(SPACE) == space:
            return study
        if study.get_trials(deepcopy=False):
            study = _copy_study(study, config, storage)
    study.set_user_attr(SPACE, space)
    return study


def _create(config: SearchConfig, storage: BaseStorage) -> optuna.Study:
    return optuna.create_study(
        study_name=next_name(storage),
        storage=storage,
        direction="maximize" if config.direction is Direction.MAX else "minimize",
    )


def _copy_study(old: optuna.Study, config: SearchConfig, storage: BaseStorage) -> optuna.Study:
    """Create a study beside the old one, with its facts and its trials under the same numbers.

    Within one study, Optuna refuses other choices for a known parameter, and cannot change the
    distributions of a trial. So a changed space needs a new study.
    """
    study = _create(config, storage)
    for name, value in old.user_attrs.items():
        if name != SPACE:
            study.set_user_attr(name, value)
    for trial in old.get_trials(deepcopy=False):
        study.add_trial(move_trial(trial, config.space, config.direction))
    return study


def move_trial(trial: FrozenTrial, space: Space, direction: Direction) -> FrozenTrial:
    """Convert a trial to another space; a trial outside of that space is hidden from the sampler.

    Of ended trials, TPE reads only COMPLETE and PRUNED ones. So an ended trial outside of the space
    gets the state FAIL in Optuna; its user attributes still hold its true outcome.
    """
    record = read_trial(trial)
    known = "config" in trial.user_attrs
    parameters = parameters_of(TrialConfig(**record.config), space) if known else {}
    state = trial.state
    if state.is_finished() and "outcome" in trial.user_attrs:
        finished = record.state == "finished"
        state = TrialState.COMPLETE if finished else TrialState.PRUNED
        state = TrialState.FAIL if parameters is None else state
    best = record.best(direction)
    values = {TrialState.COMPLETE: best and best[1], TrialState.PRUNED: _last(trial)}
    return _copy(trial, state, values.get(state), parameters or {}, space)


def _copy(
    trial: FrozenTrial,
    state: TrialState,
    value: float | None,
    parameters: dict[str, Any],
    space: Space,
) -> FrozenTrial:
    found = {name: distribution(name, getattr(space, name)) for name in parameters}
    return FrozenTrial(
        number=-1,  # its place in the new study
        trial_id=-1,
        state=state,
        value=value,
        datetime_start=trial.datetime_start,
        datetime_complete=trial.datetime_complete,
        params=parameters,
        distributions={name: kind for name, kind in found.items() if kind is not None},
        user_attrs=trial.user_attrs,
        system_attrs=_attributes(trial, space),
        intermediate_values=trial.intermediate_values,
    )


def _attributes(trial: FrozenTrial, space: Space) -> dict[str, object]:
    """Optuna's system attributes of a trial, without those of TPE's draws and without the enqueued
    parameters that the space no longer holds.
    """
    kept = {k: v for k, v in trial.system_attrs.items() if not k.startswith(_DRAWN)}
    if _FIXED in kept:
        kinds = {name: distribution(name, getattr(space, name)) for name in kept[_FIXED]}
        kept[_FIXED] = {
            name: value
            for name, value in kept[_FIXED].items()
            if (kind := kinds[name]) is not None and contains(kind, value)
        }
    return kept


def _last(trial: FrozenTrial) -> float | None:
    """The value that Optuna gives a pruned trial: its last report, if it is finite."""
    if trial.last_step is None:
        return None
    value = trial.intermediate_values[trial.last_step]
    return value if math.isfinite(value) else None


def enqueue_baselines(study: optuna.Study, config: SearchConfig) -> None:
    """Enqueue the baselines, so that they are tried first."""
    for baseline in config.baselines:
        study.enqueue_trial(as_parameters(baseline, config))

"""The search space as Optuna distributions, and its next point that no trial has trained."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain, repeat
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.storages import BaseStorage

from tlsearch.config.dimension import Choices, Range
from tlsearch.config.networks.unfreezing import DEPTHS, RATES, Depth
from tlsearch.config.schema import SearchConfig
from tlsearch.config.space import Space
from tlsearch.config.spelling import spell_widths
from tlsearch.config.trial_config import TrialConfig
from tlsearch.search.propose.duplicates import Tried

_FIELDS = TrialConfig.model_fields
# The dimensions whose ranges hold integers.
WHOLE = {*DEPTHS} | {name for name in Space.model_fields if _FIELDS[name].annotation is int}

LEARNED_DRAWS = 10  # by TPE, which may draw the same point each time
UNIFORM_DRAWS = 100  # after those, uniform ones

Ask = Callable[[str, BaseDistribution], Any]


@dataclass(frozen=True)
class Point:
    """A point of the search space: Optuna's parameters, and the configuration that they give.

    `replica_of` is the earlier trial with the same configuration and another seed. `by_prior` says
    that the point was proposed by the prior and not by the sampler.
    """

    parameters: Mapping[str, object]
    trial: TrialConfig
    replica_of: int | None = None
    by_prior: bool = False


def distribution(name: str, dimension: Choices[Any] | Range | None) -> BaseDistribution | None:
    """Return the Optuna distribution of a dimension; None for a constant, which Optuna does not
    see, and for a dimension that the space does not give.
    """
    if dimension is None:
        return None
    if isinstance(dimension, Choices):
        names = [spell_widths(value) for value in dimension.values]
        return None if dimension.constant else CategoricalDistribution(names)
    low, high, step, log = dimension.low, dimension.high, dimension.step, dimension.log
    if name in WHOLE:
        return IntDistribution(int(low), int(high), log=log, step=int(step or 1))
    return FloatDistribution(low, high, log=log, step=step)


def contains(found: BaseDistribution, value: Any) -> bool:
    """Return whether a distribution contains a value."""
    try:
        return bool(found._contains(found.to_internal_repr(value)))
    except (ValueError, TypeError):  # not one of the choices
        return False


def used_dimensions(space: Space, depth: Depth) -> Iterator[tuple[str, Choices[Any] | Range]]:
    """Yield the dimensions that a trial uses, by name: only one of the two learning rates."""
    for name, dimension in space.given.items():
        if name not in RATES or name == depth.rate:
            yield name, dimension


def build_point(config: SearchConfig, ask: Ask) -> Point:
    """Return the point of the space that results from asking for each dimension in turn."""
    parameters: dict[str, Any] = {}
    chosen: dict[str, Any] = {}

    def choose(name: str) -> None:
        dimension = getattr(config.space, name)
        found = distribution(name, dimension)
        if found is None:
            chosen[name] = dimension.values[0]
            return
        value = parameters[name] = ask(name, found)
        named = isinstance(dimension, Choices)
        chosen[name] = {spell_widths(v): v for v in dimension.values}[value] if named else value

    for name in config.space.given:
        if name not in RATES:
            choose(name)
    trained = config.space.trained(chosen)
    chosen.update(trained)
    parameters.update(trained)  # so that Optuna learns the depth that is actually trained
    choose(Depth.of(chosen).rate)
    return Point(parameters, trial_config(config, chosen))


def trial_config(config: SearchConfig, chosen: Mapping[str, object]) -> TrialConfig:
    """Return the complete configuration of a trial: a point of the space and the study's fixed
    settings.
    """
    trial = TrialConfig(
        **chosen,
        image_px=config.data.image_px,
        epochs=config.epochs,
        early_stopping=config.early_stopping,
        warm_up_epochs=config.warm_up_epochs,
        warm_up_lr=config.warm_up_lr,
        metric=config.metric,
        feature_dtype=config.feature_dtype,
        precision=config.trial_precision,
        augment=config.augment,
        views=0 if config.views == "online" else config.views,
        view_seed=config.seed,
        seed=config.seed,
    )
    return trial.sharing(config.space.prefix_depth(trial.depth, trial.backbone))


def as_parameters(baseline: Mapping[str, object], config: SearchConfig) -> dict[str, object]:
    """Convert a baseline to Optuna parameters: choices by their spelling, without constants."""
    parameters = {}
    for name, value in baseline.items():
        dimension = getattr(config.space, name)
        if isinstance(dimension, Range):
            parameters[name] = value
        elif not dimension.constant:
            parameters[name] = spell_widths(value)
    return parameters


def parameters_of(trial: TrialConfig, space: Space) -> dict[str, object] | None:
    """Convert a configuration to Optuna parameters of a space; None if it lies outside of it."""
    parameters = {}
    for name, dimension in used_dimensions(space, trial.depth):
        value = getattr(trial, name)
        if not dimension.admits(value):
            return None
        if distribution(name, dimension) is not None:
            parameters[name] = spell_widths(value)
    return parameters


def first_novel(config: SearchConfig, draws: Iterable[Point], tried: Tried) -> Point:
    """Return the first of some draws that no trial has; if all are taken, a replica of the first.

    A replica is the same configuration with a new seed. If a small space is exhausted, replicas
    show how much of a value is luck.
    """
    first: Point | None = None
    for point in draws:
        if not tried.trains(point.trial):
            return point
        first = first or point
    assert first is not None, "there is always a draw"
    return replica(config, first, tried)


def replica(config: SearchConfig, point: Point, tried: Tried) -> Point:
    """Return the same point with the next seed that no trial of this configuration has."""
    alike = tried.alike(point.trial)
    trial = point.trial.model_copy(update={"seed": replica_seed(config.seed, len(alike))})
    return replace(point, trial=trial, replica_of=min(alike))


def replica_seed(seed: int, number: int) -> int:
    """Return the seed of the n-th trial of a configuration, with `number` counted from 0.

    The first trial has the seed of the study.
    """
    if number == 0:
        return seed
    digest = hashlib.blake2b(f"{seed} {number}".encode(), digest_size=4).digest()
    return int.from_bytes(digest) % 2**31


def draw_points(
    config: SearchConfig, study: optuna.Study, trial: optuna.trial.FrozenTrial
) -> Iterator[Point]:
    """Yield points for an Optuna trial: first from the study's sampler, then uniform ones.

    No point is written to the trial, because a suggested parameter cannot be taken back, and Optuna
    has no true state for a duplicate: as PRUNED it would make TPE learn from a trial that never
    ran, and as FAIL it would use up a trial number with its row and folder. So points are drawn
    repeatedly for one trial, and `write_parameters` gives it the chosen point.
    """
    uniform = optuna.samplers.RandomSampler(seed=config.seed + trial.number)
    for sampler in chain(repeat(study.sampler, LEARNED_DRAWS), repeat(uniform, UNIFORM_DRAWS)):
        yield build_point(config, ask_sampler(sampler, study, trial))


def ask_sampler(
    sampler: optuna.samplers.BaseSampler, study: optuna.Study, trial: optuna.trial.FrozenTrial
) -> Ask:
    """Return a function that asks like `Trial.suggest_*`, but writes nothing to the trial.

    The function returns the trial's fixed value of a parameter if it has one, else the sampler's.
    """
    fixed = trial.system_attrs.get("fixed_params", {})
    relative: Mapping[str, object] | None = None

    def ask(name: str, found: BaseDistribution) -> Any:
        nonlocal relative
        for given in (trial.params, fixed):
            if name in given and contains(found, given[name]):
                return given[name]
        if relative is None:
            space = sampler.infer_relative_search_space(study, trial)
            relative = sampler.sample_relative(study, trial, space)
        if name in relative and contains(found, relative[name]):
            return relative[name]
        return sampler.sample_independent(study, trial, name, found)

    return ask


def write_parameters(storage: BaseStorage, trial_id: int, point: Point, space: Space) -> None:
    """Write the parameters of a point to an Optuna trial."""
    known = storage.get_trial_params(trial_id)
    for name, value in point.parameters.items():
        found = distribution(name, getattr(space, name))
        if found is not None and name not in known:
            storage.set_trial_param(trial_id, name, found.to_internal_repr(value), found)

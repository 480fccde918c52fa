"""Parameter importance: how much of the differences between trials each parameter explains."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from tlsearch.config.networks.unfreezing import DEPTHS, RATES, Depth
from tlsearch.config.spelling import with_spaces
from tlsearch.results.rank.anova import UNUSED, Design, explain_variance
from tlsearch.results.rank.leaderboard import requested_values
from tlsearch.results.rank.standings import ranked_trials
from tlsearch.results.record.journal import StudyRecord, TrialRecord

LEAST_TRIALS = 10  # with fewer, a tree with 3 trials per leaf compares two or three means at most
WIDE = 0.5  # an interval wider than this is inconclusive
LITTLE = 0.05  # a parameter whose interval ends below this hardly matters

Word = Literal["matters", "hardly matters", "too few trials to tell"]


@dataclass(frozen=True)
class Effect:
    """The share of the variance that a parameter explains alone, with its 90 % interval.

    `word` is the conclusion that the interval allows.
    """

    name: str
    share: float
    low: float
    high: float
    word: Word


@dataclass(frozen=True)
class Importance:
    """The effects of all parameters that a search varied, largest first.

    `trials` is the number of counted trials; `stopped` of them were stopped early, and `diverged`
    of them diverged. `left_out` more trials failed or have not ended, and do not count.
    """

    effects: tuple[Effect, ...] = ()
    trials: int = 0
    stopped: int = 0
    diverged: int = 0
    left_out: int = 0

    @property
    def notable(self) -> tuple[Effect, ...]:
        """The effects that matter."""
        return tuple(effect for effect in self.effects if effect.word == "matters")


def varied_parameters(record: StudyRecord) -> dict[str, list[Any]]:
    """Return the varied parameters: name -> value in every ranked trial, best trial first.

    The value is None in a trial that does not use the parameter.
    """
    return _parameters_that_vary([trial.config for trial in ranked_trials(record)])


def importance(record: StudyRecord, space: Mapping[str, object]) -> Importance:
    """Return the share of the score's variance that each parameter explains alone over `space`.

    `space` is the search space from study.yaml. A range that it lacks is taken from the values
    tried.

    A stopped trial counts with its ranked value, the best that it reached, because its final value
    is unknown. A parameter may therefore matter because its trials were stopped sooner. A diverged
    trial counts with the worst value of all, because leaving it out would hide that its
    configuration diverges. Trials that failed, by a fault of the machine or lack of memory, and
    trials that have not ended are left out: their values say nothing about their configurations.

    A parameter that only some trials use (the two learning rates, or batch norm in unfrozen layers)
    counts in the part of the space that uses it, weighted by the size of that part; see `anova`.
    """
    counted, scores = _scored_trials(record)
    about = Importance(
        (),
        len(counted),
        sum(trial.state == "stopped" for trial in counted),
        sum(trial.state == "diverged" for trial in counted),
        sum(trial.state != "waiting" for trial in record.trials) - len(counted),
    )
    columns = _parameters_that_vary([trial.config for trial in counted])
    if len(counted) < LEAST_TRIALS or not columns or len(set(scores)) == 1:
        return about
    found = explain_variance(_design(columns, space), np.array(scores))
    learned = found.out_of_bag > 0
    effects = [
        Effect(name, share, low, high, _word(low, high, bool(above), learned))
        for name, share, low, high, above in zip(
            columns,
            found.shares.tolist(),
            found.low.tolist(),
            found.high.tolist(),
            found.above_chance,
            strict=True,
        )
    ]
    effects.sort(key=lambda effect: (-effect.share, effect.name))
    return replace(about, effects=tuple(effects))


def importance_sentences(found: Importance, metric: str) -> list[str]:
    """Return the sentences on what mattered and on how trials count that did not finish."""
    if found.notable:
        lines = [_importance_line(found.notable, metric)]
    elif found.effects:
        lines = [
            f"too few trials to tell what mattered: in {found.trials} trials no parameter "
            "clearly explains more than random numbers would"
        ]
    elif found.trials < LEAST_TRIALS:
        lines = [
            f"too few trials to tell what mattered: {found.trials} count, and at least "
            f"{LEAST_TRIALS} are needed"
        ]
    else:
        lines = [
            "nothing mattered: the counted trials have the same configuration or the same score"
        ]
    return [*lines, *_counting(found)]


def _importance_line(effects: Sequence[Effect], metric: str) -> str:
    shares = [
        f"{100 * one.share:.0f} % ({100 * one.low:.0f} to {100 * one.high:.0f} %)"
        for one in effects
    ]
    names = [with_spaces(one.name) for one in effects]
    first = f"{names[0]} explains {shares[0]} of the variance in {metric} over the search space"
    others = zip(names[1:], shares[1:], strict=True)
    return ", ".join([first, *(f"{name} {share}" for name, share in others)])


def _counting(found: Importance) -> list[str]:
    counts = {
        "stopped early (counted with their best value)": found.stopped,
        "diverged (counted with the worst value of all)": found.diverged,
        "failed or not ended (not counted)": found.left_out,
    }
    parts = [f"{count} {what}" for what, count in counts.items() if count]
    return [f"trials that did not finish: {'; '.join(parts)}"] if parts else []


def is_range(values: Sequence[Any]) -> bool:
    """Whether values seem to come from a range, not from choices: more than six, all numbers."""
    distinct = set(values) - {None}
    return len(distinct) > 6 and all(_is_number(value) for value in distinct)


def in_order(values: Sequence[Any]) -> list[Any]:
    """Return the distinct values that trials use: numbers by size, then others as text."""
    return sorted(set(values) - {None}, key=_choice_order)


def _scored_trials(record: StudyRecord) -> tuple[list[TrialRecord], list[float]]:
    """Return the trials that count, and the value of each."""
    sound = [trial for trial in ranked_trials(record) if trial.state in ("finished", "stopped")]
    values = [best[1] for trial in sound if (best := trial.best(record.direction))]
    if not values:
        return [], []
    diverged = [trial for trial in record.trials if trial.state == "diverged"]
    return [*sound, *diverged], [*values, *[values[-1]] * len(diverged)]


def _parameters_that_vary(configs: Sequence[Mapping[str, object]]) -> dict[str, list[Any]]:
    """Return the parameters that have more than one value among the trials that use them."""
    blocks = all(Depth.of(config).blocks is not None for config in configs)
    rows = [_used_values(config, blocks) for config in configs]
    columns = {name: [_tidy(row[name]) for row in rows] for name in (rows[0] if rows else ())}
    return {name: values for name, values in columns.items() if len(set(values) - {None}) > 1}


def _used_values(config: Mapping[str, object], blocks: bool) -> dict[str, object]:
    """Return a configuration with None for unused values, its depth in blocks or in layers."""
    depth = Depth.of(config)
    unused = {*RATES, *DEPTHS} - {depth.rate, DEPTHS[blocks]}
    if depth.frozen:
        unused.add("train_batch_norm")
    values = {**requested_values(config), **depth.to_json()}
    return {name: None if name in unused else value for name, value in values.items()}


def _design(columns: Mapping[str, Sequence[Any]], space: Mapping[str, object]) -> Design:
    """Return the trials as points of the unit cube that represents the search space."""
    names = list(columns)
    points = np.column_stack([_places(name, columns[name], space.get(name)) for name in names])
    switch = next((name for name in DEPTHS if 0 in columns.get(name, ())), None)
    if switch is None:
        return Design(points)
    at = names.index(switch)
    border = 2 * float(points[:, at].min())  # the first of K choices lies at 1 / 2K
    sides = {"head_lr": 0, "fine_tune_lr": 1, "train_batch_norm": 1}
    own = {names.index(name): side for name, side in sides.items() if name in columns}
    return Design(points, at, border, own)


def _places(name: str, values: Sequence[Any], dimension: Any) -> list[float]:
    """Return the position of each value on its axis, 0 to 1; `UNUSED` for None.

    A logarithmic range has a logarithmic axis. Each of K choices or whole numbers lies in the
    middle of its own Kth of the axis.
    """
    used = [value for value in values if value is not None]
    if not all(map(_is_number, used)) or not _ranges(dimension, values):
        order = in_order(values)
        return [UNUSED if v is None else (order.index(v) + 0.5) / len(order) for v in values]
    given = {"log": name in RATES} if dimension is None else dimension
    low = min(*used, given.get("low", used[0]))
    high = max(*used, given.get("high", used[0]))
    if all(isinstance(value, int) for value in used) and not given.get("log"):
        step = given.get("step") or 1
        count = (high - low) / step + 1
        return [UNUSED if v is None else ((v - low) / step + 0.5) / count for v in values]
    scale = math.log if given.get("log") else float
    span = scale(high) - scale(low)
    return [UNUSED if v is None else (scale(v) - scale(low)) / span for v in values]


def _ranges(dimension: Any, values: Sequence[Any]) -> bool:
    """Whether a dimension of the space is a range, judged by its values if the space is unknown."""
    return is_range(values) if dimension is None else isinstance(dimension, Mapping)


def _word(low: float, high: float, above_chance: bool, learned: bool) -> Word:
    """Return the conclusion from an interval; `learned` is whether the forest learned anything."""
    if learned and above_chance and high - low <= WIDE:
        return "matters"
    return "hardly matters" if learned and high < LITTLE else "too few trials to tell"


def _tidy(value: Any) -> Any:
    """Round off the floating-point error of a range's steps: 0.30000000000000004 becomes 0.3."""
    return float(f"{value:.6g}") if isinstance(value, float) else value


def _choice_order(value: Any) -> tuple[bool, Any]:
    number = isinstance(value, int | float)
    return not number, value if number else str(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)

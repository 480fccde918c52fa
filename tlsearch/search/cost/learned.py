"""The time of past searches on this machine relative to their plans, used to correct new plans."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tlsearch.base.cores import granted_cores
from tlsearch.base.machine import cpu_name
from tlsearch.config.schema import SearchConfig
from tlsearch.search.cost.calibration import digest_of, recall, remember

PAST = "searches"  # the key of the past searches among the remembered entries of a cache
MOST = 20  # how many searches are kept, the latest ones
SAME = 8  # the weight of a search of the same kind; other searches and the plan itself weigh 1


@dataclass(frozen=True)
class Ratios:
    """The seconds taken divided by the seconds planned: from the images being read to the first
    trial's start, for the trials, to confirm the winner, and to export, test and report it.
    """

    start: float = 1.0
    trials: float = 1.0
    confirm: float = 1.0
    export: float = 1.0


AS_PLANNED = Ratios()


@dataclass(frozen=True)
class Past:
    """A past search: digests of its machine and of its kind, and its ratios."""

    machine: str
    kind: str
    start: float
    trials: float
    confirm: float
    export: float


def expected_ratios(past: Sequence[Past], kind: str) -> Ratios:
    """Return weighted geometric means over past searches; the plan counts as one with ratio 1."""
    weights = [SAME if one.kind == kind else 1 for one in past]

    def mean(ratios: Sequence[float]) -> float:
        logs = [weight * math.log(ratio) for weight, ratio in zip(weights, ratios, strict=True)]
        return math.exp(sum(logs) / (1 + sum(weights)))

    return Ratios(
        mean([one.start for one in past]),
        mean([one.trials for one in past]),
        mean([one.confirm for one in past]),
        mean([one.export for one in past]),
    )


def past_searches(cache: Path, slots: int) -> tuple[Past, ...]:
    """Return the past searches on this machine with `slots` slots, the oldest first.

    Damaged entries are left out.
    """
    here, known = _machine(slots), recall(cache).get(PAST)
    found = []
    for entry in known if isinstance(known, list) else ():
        try:
            one = Past(**entry)
            if one.machine == here and min(one.start, one.trials, one.confirm, one.export) > 0:
                found.append(one)
        except TypeError:
            continue
    return tuple(found)


def remember_ratios(cache: Path, config: SearchConfig, slots: int, ratios: Ratios) -> None:
    """Remember the ratios of a search."""
    known = recall(cache).get(PAST)
    before = known if isinstance(known, list) else []
    one = Past(_machine(slots), kind_of(config), **asdict(ratios))
    remember(cache, {PAST: [*before, asdict(one)][-MOST:]})


def kind_of(config: SearchConfig) -> str:
    """Return a digest of the settings that decide how long a search takes."""
    names = {"data", "space", "epochs", "trials", "scheduler", "augment", "views", "confirm"}
    return digest_of([config.model_dump_json(include={*names, "export", "resources"})])


def _machine(slots: int) -> str:
    return digest_of([cpu_name(), granted_cores(), slots])

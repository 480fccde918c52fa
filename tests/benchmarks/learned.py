"""What `replay.py` learns from recorded curves: tlsearch's prior, on other data sets.

`plain` are the features of the shipped prior. `whole` holds everything else that varies between the
recorded runs too, since a replay searches all of it. Costs are learned from recorded seconds. Runs
that only probe linearly are not learned from, and come last: they end after one epoch.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from recorded import Run, Table

from tlsearch.search.propose.learn_prior import CENTRES, NETWORKS, as_trial, fit, ranks
from tlsearch.search.propose.prior import Floats, Smooth, depth_step, merit, varied

POWERS = (0.05, 0.1, 0.15, 0.2, 0.3)
PROMOTIONS = ("promotion", "{kind: promotion, first_rung: 3}")
CHOSEN = "chosen promotion"  # one of them
FOLDS = 3
NEW_NETWORKS = ("prior, new networks", "prior as shipped")
NAMED = {
    "opt": ("adam", "adamp", "adamw"),
    "sched": ("step",),
    "data_augmentation": ("None", "auto_augment", "random_augment", "trivial_augment"),
    "opt_betas": ("[0.0, 0.99]", "[0.0, 0.999]", "[0.9, 0.99]", "[0.9, 0.999]"),
    "model": tuple(NETWORKS),
}
NUMBERS = (
    *("amp", "clip_grad", "cotuning_reg", "cutmix", "decay_epochs", "layer_decay", "mixup"),
    *("mixup_prob", "momentum", "stoch_norm", "warmup_epochs"),
)
MAGNITUDES = ("bss_reg", "delta_reg", "sp_reg")

Told = Callable[[Table, Run], list[float]]
Way = tuple[str, float]  # a stopping rule as a search space writes it, the power of the cost
Judge = Callable[[Table, list[int], str], float]  # of a table's runs in an order, under a rule


def plain(table: Table, run: Run) -> list[float]:
    """The features of the shipped prior."""
    return as_trial(run.config, table.images, table.classes)


def whole(table: Table, run: Run) -> list[float]:
    """All that is known of a run: names one by one, numbers as they are or by their magnitude."""
    named = (run.config[name] == one for name, choices in NAMED.items() for one in choices)
    numbers = (float(run.config[name]) for name in NUMBERS)
    magnitudes = (float(np.log10(max(run.config[name], 1e-6))) for name in MAGNITUDES)
    return [*plain(table, run), *map(float, named), *numbers, *magnitudes]


@dataclass(frozen=True)
class Learned:
    """Gain and pace of runs, as other runs show them."""

    told: Told
    gain: Smooth
    pace: Smooth

    @classmethod
    def of(cls, tables: Sequence[Table], told: Told, without: Iterable[str] = ()) -> "Learned":
        """Learned from the runs of some tables, but for those of some networks."""
        rows, gains, paces = [], [], []
        left_out = set(without)
        for table in tables:
            runs = [run for run in table.runs if _learned_from(run, left_out)]
            rows += [told(table, run) for run in runs]
            gains += ranks(np.array([max(run.accuracy) for run in runs])).tolist()
            paces += [_log_pace(run, table.images) for run in runs]
        known, pace = np.array(rows), np.array(paces)
        lasting = np.isfinite(pace)
        gain = fit(known, np.array(gains), CENTRES if told is plain else None)
        return cls(told, gain, fit(known[lasting], pace[lasting]))

    def gain_and_cost(self, table: Table) -> tuple[Floats, Floats]:
        """Predicted for each run: its gain, and the logarithm of its pace. Both (runs,)"""
        rows = np.array([self.told(table, run) for run in table.runs])
        probes = np.array([_probes(run) for run in table.runs])
        return np.where(probes, 0.0, self.gain.predict(rows)), self.pace.predict(rows)


def _learned_from(run: Run, left_out: set[str]) -> bool:
    return not _probes(run) and run.config["model"] not in left_out


def _probes(run: Run) -> bool:
    """Whether a run only probes linearly."""
    return bool(run.config["linear_probing"])


def _log_pace(run: Run, images: int) -> float:
    """Seconds per image; NaN for a run that ended within an epoch, whose pace is no epoch's."""
    return float(np.log(np.mean(run.seconds) / images)) if len(run.seconds) > 1 else np.nan


def predicted(
    others: Sequence[Table], table: Table, told: Told, new_networks: bool
) -> tuple[Floats, Floats]:
    """Gain and cost of the runs of a table, learned from others; with `new_networks` also without
    any run of the same network, by groups of networks.
    """
    if not new_networks:
        return Learned.of(others, told).gain_and_cost(table)
    models = np.array([run.config["model"] for run in table.runs])
    found = np.zeros((2, len(models)))
    names = sorted(set(models))
    for first in range(FOLDS):
        mine = np.isin(models, names[first::FOLDS])
        one = Learned.of(others, told, names[first::FOLDS]).gain_and_cost(table)
        found[:, mine] = np.array(one)[:, mine]
    return found[0], found[1]


def order(table: Table, gain: Floats, cost: Floats, power: float) -> list[int]:
    """A table's runs in the prior's order, by predicted gain over cost."""
    kinds = [
        (run.config["model"], depth_step(1 - run.config["pct_to_freeze"])) for run in table.runs
    ]
    return varied(merit(gain, cost, power), kinds)


def judged_ways(tables: Sequence[Table], judge: Judge) -> dict[Way, float]:
    """How badly each power of the cost serves within some tables, with each promotion rule: each
    table is judged with what the tables of the other folds teach.
    """
    found = dict.fromkeys(product(PROMOTIONS, POWERS), 0.0)
    for first in range(FOLDS):
        judged = tables[first::FOLDS]
        teacher = Learned.of([table for table in tables if table not in judged], whole)
        for table in judged:
            predictions = teacher.gain_and_cost(table)
            for rule, power in found:
                found[rule, power] += judge(table, order(table, *predictions, power), rule)
    return found


class Teacher:
    """The prior's order of each table, learned from other tables once."""

    def __init__(self, tables: Sequence[Table], judge: Judge) -> None:
        self._tables = tables
        self._judge = judge
        self._predicted: dict[tuple[str, str], tuple[Floats, Floats]] = {}
        self._judged: dict[tuple[str, ...], dict[Way, float]] = {}  # by the tables that teach
        self._ways: dict[tuple[str, str], Way] = {}  # by table and rule

    def order(self, table: Table, how: str, rule: str) -> list[int]:
        """A table's runs, the best first, as a kind of prior sees them."""
        if (table.name, how) not in self._predicted:
            told = plain if how == "prior as shipped" else whole
            found = predicted(self._others(table), table, told, new_networks=how in NEW_NETWORKS)
            self._predicted[table.name, how] = found
        return order(table, *self._predicted[table.name, how], self._way(table, rule)[1])

    def rule(self, table: Table, rule: str) -> str:
        """A stopping rule as a search space writes it."""
        return self._way(table, rule)[0] if rule == CHOSEN else rule

    def _way(self, table: Table, rule: str) -> Way:
        """The best promotion rule and power of the cost within the tables that teach. If the rule
        is given, the best power with it; if it is no promotion, with promotion's defaults.
        """
        others = self._others(table)
        teachers = tuple(other.name for other in others)
        if teachers not in self._judged:
            self._judged[teachers] = judged_ways(others, self._judge)
        found = self._judged[teachers]
        judged = rule if rule in PROMOTIONS else PROMOTIONS[0]
        ways = [way for way in found if rule == CHOSEN or way[0] == judged]
        self._ways[table.name, rule] = min(ways, key=lambda way: found[way])
        return self._ways[table.name, rule]

    def _others(self, table: Table) -> list[Table]:
        return [other for other in self._tables if other.name != table.name]

    def ways(self) -> Iterator[str]:
        """The powers of the cost that were chosen, and for how many tables, by rule."""
        for name in dict.fromkeys(rule for _, rule in self._ways):
            counts = Counter(way for (_, rule), way in self._ways.items() if rule == name)
            told = (
                f"{power:g} ({count})" if rule == name else f"{power:g} with {rule} ({count})"
                for (rule, power), count in sorted(counts.items())
            )
            yield f"{name}: power of the cost (data sets) {', '.join(told)}"

"""tlsearch's prior as `replay.py` learns it from the recorded curves of other data sets.

`plain` are the features of the shipped prior. `whole` adds everything else that varies between the
recorded runs, since a replay searches all of it. Costs are learned from recorded seconds. Runs that
only probe linearly are not learned from, and come last: they end after one epoch.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from recorded import Run, Table

from tlsearch.search.propose.learn_prior import CENTRES, NETWORKS, as_trial, fit, ranks
from tlsearch.search.propose.prior import Floats, Smooth, depth_step, diversified, merit

POWERS = (0.05, 0.1, 0.15, 0.2, 0.3)
PROMOTIONS = ("promotion", "{kind: promotion, first_rung: 3}")
CHOSEN = "chosen promotion"  # the better of the two
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

Features = Callable[[Table, Run], list[float]]  # of a run in its table
Way = tuple[str, float]  # a stopping rule as in a search space, and the power of the cost
Judge = Callable[[Table, list[int], str], float]  # the loss of an order of runs under a rule


def plain(table: Table, run: Run) -> list[float]:
    """Return the features of the shipped prior."""
    return as_trial(run.config, table.images, table.classes)


def whole(table: Table, run: Run) -> list[float]:
    """Return all that is known of a run: names one-hot, numbers as they are or their logarithms."""
    named = (run.config[name] == choice for name, choices in NAMED.items() for choice in choices)
    numbers = (float(run.config[name]) for name in NUMBERS)
    magnitudes = (float(np.log10(max(run.config[name], 1e-6))) for name in MAGNITUDES)
    return [*plain(table, run), *map(float, named), *numbers, *magnitudes]


@dataclass(frozen=True)
class Learned:
    """Gain and pace of runs, predicted from other runs."""

    features: Features
    gain: Smooth
    pace: Smooth

    @classmethod
    def of(
        cls, tables: Sequence[Table], features: Features, without: Iterable[str] = ()
    ) -> "Learned":
        """Learn from the runs of some tables, except those of the networks in `without`."""
        rows, gains, paces = [], [], []
        left_out = set(without)
        for table in tables:
            runs = [run for run in table.runs if _learned_from(run, left_out)]
            rows += [features(table, run) for run in runs]
            gains += ranks(np.array([max(run.accuracy) for run in runs])).tolist()
            paces += [_log_pace(run, table.images) for run in runs]
        known, pace = np.array(rows), np.array(paces)
        lasting = np.isfinite(pace)
        gain = fit(known, np.array(gains), CENTRES if features is plain else None)
        return cls(features, gain, fit(known[lasting], pace[lasting]))

    def gain_and_cost(self, table: Table) -> tuple[Floats, Floats]:
        """Predict the gain of each run and the logarithm of its pace, both (runs,)."""
        rows = np.array([self.features(table, run) for run in table.runs])
        probes = np.array([_probes(run) for run in table.runs])
        return np.where(probes, 0.0, self.gain.predict(rows)), self.pace.predict(rows)


def _learned_from(run: Run, left_out: set[str]) -> bool:
    return not _probes(run) and run.config["model"] not in left_out


def _probes(run: Run) -> bool:
    """Whether a run only probes linearly."""
    return bool(run.config["linear_probing"])


def _log_pace(run: Run, images: int) -> float:
    """Return the logarithm of the seconds per image and epoch.

    It is NaN for a run that ended within one epoch, whose pace is not that of a whole epoch.
    """
    return float(np.log(np.mean(run.seconds) / images)) if len(run.seconds) > 1 else np.nan


def predicted(
    others: Sequence[Table], table: Table, features: Features, new_networks: bool
) -> tuple[Floats, Floats]:
    """Predict gain and cost of a table's runs from other tables.

    With `new_networks`, runs of the same network are left out as well, by groups of networks.
    """
    if not new_networks:
        return Learned.of(others, features).gain_and_cost(table)
    models = np.array([run.config["model"] for run in table.runs])
    found = np.zeros((2, len(models)))
    names = sorted(set(models))
    for first in range(FOLDS):
        mine = np.isin(models, names[first::FOLDS])
        learned = Learned.of(others, features, names[first::FOLDS]).gain_and_cost(table)
        found[:, mine] = np.array(learned)[:, mine]
    return found[0], found[1]


def order(table: Table, gain: Floats, cost: Floats, power: float) -> list[int]:
    """Return a table's runs in the prior's order, by predicted gain over cost."""
    kinds = [
        (run.config["model"], depth_step(1 - run.config["pct_to_freeze"])) for run in table.runs
    ]
    return diversified(merit(gain, cost, power), kinds)


def judged_ways(tables: Sequence[Table], judge: Judge) -> dict[Way, float]:
    """Return the loss of each promotion rule with each power of the cost within some tables.

    Each table is judged by a prior learned from the tables of the other folds.
    """
    losses = dict.fromkeys(product(PROMOTIONS, POWERS), 0.0)
    for first in range(FOLDS):
        judged = tables[first::FOLDS]
        teacher = Learned.of([table for table in tables if table not in judged], whole)
        for table in judged:
            predictions = teacher.gain_and_cost(table)
            for rule, power in losses:
                losses[rule, power] += judge(table, order(table, *predictions, power), rule)
    return losses


class Teacher:
    """The prior's order of each table, learned once from the other tables."""

    def __init__(self, tables: Sequence[Table], judge: Judge) -> None:
        self._tables = tables
        self._judge = judge
        self._predicted: dict[tuple[str, str], tuple[Floats, Floats]] = {}
        self._judged: dict[tuple[str, ...], dict[Way, float]] = {}  # by the tables that teach
        self._ways: dict[tuple[str, str], Way] = {}  # by table and rule

    def order(self, table: Table, how: str, rule: str) -> list[int]:
        """Return a table's runs, best first, according to a kind of prior."""
        if (table.name, how) not in self._predicted:
            features = plain if how == "prior as shipped" else whole
            found = predicted(
                self._others(table), table, features, new_networks=how in NEW_NETWORKS
            )
            self._predicted[table.name, how] = found
        return order(table, *self._predicted[table.name, how], self._way(table, rule)[1])

    def rule(self, table: Table, rule: str) -> str:
        """Return a stopping rule as a search space writes it."""
        return self._way(table, rule)[0] if rule == CHOSEN else rule

    def _way(self, table: Table, rule: str) -> Way:
        """Return the best promotion rule and power of the cost within the tables that teach.

        For a given promotion rule, only the power is chosen; for any other rule, the power is that
        of promotion with its defaults.
        """
        others = self._others(table)
        teachers = tuple(other.name for other in others)
        if teachers not in self._judged:
            self._judged[teachers] = judged_ways(others, self._judge)
        losses = self._judged[teachers]
        judged = rule if rule in PROMOTIONS else PROMOTIONS[0]
        ways = [way for way in losses if rule == CHOSEN or way[0] == judged]
        self._ways[table.name, rule] = min(ways, key=lambda way: losses[way])
        return self._ways[table.name, rule]

    def _others(self, table: Table) -> list[Table]:
        return [other for other in self._tables if other.name != table.name]

    def ways(self) -> Iterator[str]:
        """Yield for each rule the chosen powers of the cost and the number of tables of each."""
        for name in dict.fromkeys(rule for _, rule in self._ways):
            counts = Counter(way for (_, rule), way in self._ways.items() if rule == name)
            parts = (
                f"{power:g} ({count})" if rule == name else f"{power:g} with {rule} ({count})"
                for (rule, power), count in sorted(counts.items())
            )
            yield f"{name}: power of the cost (data sets) {', '.join(parts)}"

"""The accuracy that a search reaches over time, replayed on recorded fine-tuning curves.

    python tests/benchmarks/replay.py TABLES [--train-tables DIR] [--json OUT]
        [--workers N] [--seeds S] [--hours H ...] [--only NAME ...]

TABLES holds one `*.json.gz` file per data set: {"n_images", "n_classes", "runs": [{"config":
{name: value}, "accuracy": [percent, by epoch], "seconds": [by epoch]}]}. A search asks for a run,
pays its seconds epoch by epoch on a simulated clock, sees its accuracies, and may stop it. A method
is a way to propose runs and a rule that stops them. The stopping rules are those of tlsearch
itself, except those of `other_rules.py`.

- `random`: the recorded runs in random order.
- `tpe`: tlsearch's sampler, informed as in tlsearch. A proposal maps to the nearest unused run, and
  the sampler is told the configuration of that run.
- `prior`: the runs in the order of a prior that is learned like tlsearch's, from all tables except
  the judged one, or with --train-tables only from those in DIR. The power of the cost is chosen
  within the tables that it learns from; so is the first rung of `chosen promotion`.
  `prior, new networks`: it does not learn from runs of the same network either. `prior as shipped`:
  in addition, it does not see what tlsearch cannot vary.
- `prior, tpe`: the prior and the sampler in turns, as in a search with `prior: auto`.

Regret after H hours is (best - best seen) / (best - worst) over all points of the data set, 1
before the first epoch ends. The table shows the mean and the median over data sets of the mean over
seeds.
"""

import argparse
import heapq
import json
import random
import statistics
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import optuna
from learned import CHOSEN, NEW_NETWORKS, PROMOTIONS, Teacher
from optuna.trial import TrialState
from other_rules import OTHER_RULES
from recorded import Table, read

from tlsearch.config.load import parse
from tlsearch.search.propose.optuna_space import ask_sampler
from tlsearch.search.propose.prior import has_turn
from tlsearch.search.propose.tpe_window import Window, as_pruned, tpe
from tlsearch.search.stop.rules import rule_of
from tlsearch.search.stop.rungs import Rungs

EPOCHS = 50
HOURS = (0.25, 1.0, 4.0, 16.0)


class Proposals(Protocol):
    """Proposes the next run, and learns what becomes of each run."""

    distances: list[float]

    def next(self) -> int | None:
        """Return the number of a run that was not tried before; None if there is none left."""

    def report(self, number: int, epoch: int, accuracy: float) -> None:
        """Record that a run has trained an epoch."""

    def wait(self, number: int) -> None:
        """Record that a run has left its slot, and may be resumed."""

    def end(self, number: int, whole: bool) -> None:
        """Record that a run has left its slot for good: trained to the end, or stopped before."""


@dataclass
class Ordered:
    """The runs in a fixed order."""

    waiting: list[int]
    distances: list[float] = field(default_factory=list)

    def next(self) -> int | None:
        return self.waiting.pop(0) if self.waiting else None

    def report(self, number: int, epoch: int, accuracy: float) -> None:
        pass

    def wait(self, number: int) -> None:
        pass

    def end(self, number: int, whole: bool) -> None:
        pass


@dataclass
class Sampled:
    """The proposals of tlsearch's sampler, each replaced by the nearest run that is left."""

    table: Table
    seed: int
    ahead: Sequence[int] = ()  # the prior's order, if it takes turns
    distances: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.study = optuna.create_study(direction="maximize", sampler=tpe(self.seed))
        self._window = Window(self.study)
        self._trials: dict[int, optuna.Trial] = {}
        self._values: dict[int, list[float]] = {}

    def next(self) -> int | None:
        left = [n for n in range(len(self.table.runs)) if n not in self._trials]
        if not left:
            return None
        trial = self.study.ask()
        if self.ahead and has_turn(trial.number):
            number = next(n for n in self.ahead if n not in self._trials)
            self._begin(number, trial)
            return number
        frozen = self.study._storage.get_trial(trial._trial_id)
        window = self._window.refresh()
        ask = ask_sampler(window.sampler, window, frozen)
        away = self.table.distances({name: ask(name, d) for name, d in self.table.space.items()})
        number = min(left, key=lambda n: (away[n], n))
        self._begin(number, trial)
        self.distances.append(float(away[number]))
        return number

    def _begin(self, number: int, trial: optuna.Trial) -> None:
        """Tell the sampler which run is trained."""
        for name, distribution in self.table.space.items():
            inner = distribution.to_internal_repr(self.table.runs[number].config[name])
            self.study._storage.set_trial_param(trial._trial_id, name, inner, distribution)
        self._trials[number], self._values[number] = trial, []

    def report(self, number: int, epoch: int, accuracy: float) -> None:
        self._trials[number].report(accuracy, epoch)
        self._values[number].append(accuracy)

    def wait(self, number: int) -> None:
        trial_id = self._trials[number]._trial_id
        self._window.take(as_pruned(self.study._storage.get_trial(trial_id)))

    def end(self, number: int, whole: bool) -> None:
        trial = self._trials[number]
        if whole:
            self.study.tell(trial, max(self._values[number]))
        else:
            self.study.tell(trial, state=TrialState.PRUNED)
        self._window.take(self.study._storage.get_trial(trial._trial_id))


@dataclass
class Rule:
    """A stopping rule by its name or settings in a search space; a run may wait at its rung."""

    written: str
    seed: int

    def __post_init__(self) -> None:
        self._known: defaultdict[int, dict[int, float]] = defaultdict(dict)
        if self.written in OTHER_RULES:
            self._rungs = OTHER_RULES[self.written]()
            return
        text = f"{{data: {{kind: digits}}, epochs: {EPOCHS}, seed: {self.seed}}}"
        self._rungs = Rungs(rule_of(parse(text, settings=[f"scheduler={self.written}"])))

    def promoted(self, at_least: int = 0) -> int | None:
        """Return a waiting run that is due; None if there is none or the rule lets none wait."""
        return self._rungs.promote(at_least)

    def waits(self, number: int) -> bool:
        """Whether a run that left its slot may be resumed."""
        return number in self._rungs.parked

    def goes_on(self, number: int, epoch: int, accuracy: float, last: int) -> bool:
        """Whether a run trains another epoch at once; `last` is its last recorded epoch."""
        known = self._known[number]
        decision = self._rungs.take(number, epoch, accuracy, known, over=epoch == last)
        known[epoch] = accuracy
        return epoch < last and (decision is None or not decision.stopped)


def replay(table: Table, ask: Proposals, rule: Rule, workers: int) -> Iterator[tuple[float, float]]:
    """Yield the end of each epoch in seconds and its accuracy, in the order of the clock."""
    reached = dict.fromkeys(range(len(table.runs)), 0)
    busy: list[tuple[float, int]] = []  # when a worker reports, and the run that it trains
    now, free = 0.0, workers
    while True:
        while free and (number := _next(ask, rule, bool(busy))) is not None:
            heapq.heappush(busy, (now + table.runs[number].seconds[reached[number]], number))
            free -= 1
        if not busy:
            return
        now, number = heapq.heappop(busy)
        reached[number] += 1
        run, epoch = table.runs[number], reached[number]
        yield now, (accuracy := run.accuracy[epoch - 1])
        ask.report(number, epoch, accuracy)
        if rule.goes_on(number, epoch, accuracy, len(run.accuracy)):
            heapq.heappush(busy, (now + run.seconds[epoch], number))
            continue
        free += 1
        if rule.waits(number):
            ask.wait(number)
        else:
            ask.end(number, whole=epoch == len(run.accuracy))


def _next(ask: Proposals, rule: Rule, others_run: bool) -> int | None:
    """Return a run that is due, else a new one, else the best that waits if nothing else runs."""
    number = rule.promoted()
    number = ask.next() if number is None else number
    return rule.promoted(at_least=1) if number is None and not others_run else number


def regrets(
    table: Table, ask: Proposals, rule: Rule, workers: int, hours: Sequence[float]
) -> list[float]:
    """Return the normalised regret after each of `hours`, which must ascend."""
    best: float | None = None
    values: list[float] = []
    for now, accuracy in replay(table, ask, rule, workers):
        while now > 3600 * hours[len(values)]:
            values.append(table.regret(best))
            if len(values) == len(hours):
                return values
        best = accuracy if best is None else max(best, accuracy)
    return values + [table.regret(best)] * (len(hours) - len(values))


def shuffled(table: Table, seed: int) -> Ordered:
    """Return the runs in random order."""
    count = len(table.runs)
    return Ordered(random.Random(f"{table.name} {seed}").sample(range(count), count)[::-1])


def _judge(table: Table, runs: list[int], rule: str) -> float:
    """Return the loss of an order of runs under a rule: square roots, as late regrets are small."""
    values = regrets(table, Ordered(list(runs)), Rule(rule, 0), 1, HOURS[1:])
    return float(sum(regret**0.5 for regret in values))


PROPOSALS = ("random", "tpe", "prior", "prior, tpe", *NEW_NETWORKS)
SEEDED = ("random", "tpe", "prior, tpe")


def begin(how: str, rule: str, table: Table, seed: int, teacher: Teacher) -> Proposals:
    """Return the proposals for a new search."""
    if how == "random":
        return shuffled(table, seed)
    if how == "tpe":
        return Sampled(table, seed)
    if how == "prior, tpe":
        return Sampled(table, seed, teacher.order(table, "prior", rule))
    return Ordered(teacher.order(table, how, rule))


RULES = ("none", "asha", "hyperband", "median", *PROMOTIONS, *OTHER_RULES)


def names() -> list[str]:
    """Return every method: how it proposes runs, and what stops them."""
    methods = [f"{ask} + {rule}" for ask in PROPOSALS for rule in RULES]
    return methods + [f"{ask} + {CHOSEN}" for ask in PROPOSALS if ask.startswith("prior")]


@dataclass(frozen=True)
class Found:
    """A method's regret by data set after each of some hours, and the mean distance to its runs."""

    name: str
    regret: dict[str, list[float]]
    distance: float | None

    def row(self, hours: Sequence[float]) -> dict[str, Any]:
        """Return the mean and the median over the data sets, by hours."""
        by_hours = list(zip(*self.regret.values(), strict=True))
        kinds = {"mean": statistics.mean, "median": statistics.median}
        return {"name": self.name} | {
            kind: {f"{h:g}": round(of(at), 4) for h, at in zip(hours, by_hours, strict=True)}
            for kind, of in kinds.items()
        }


def measure(
    name: str, tables: Sequence[Table], teacher: Teacher, arguments: argparse.Namespace
) -> Found:
    """Measure a method on every table, averaged over the seeds."""
    how, _, written = name.partition(" + ")
    regret, distances = {}, []
    for table in tables:
        rows = []
        for seed in range(arguments.seeds if how in SEEDED else 1):
            ask = begin(how, written, table, seed, teacher)
            rule = Rule(teacher.rule(table, written), seed)
            rows.append(regrets(table, ask, rule, arguments.workers, arguments.hours))
            distances += ask.distances
        regret[table.name] = [statistics.mean(at) for at in zip(*rows, strict=True)]
    return Found(name, regret, statistics.mean(distances) if distances else None)


def main() -> None:
    arguments = _arguments()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    tables = read(arguments.tables)
    teacher = Teacher(read(arguments.train_tables or arguments.tables), _judge)
    workers = f"{arguments.workers} worker" + ("s" if arguments.workers > 1 else "")
    print(
        f"{len(tables)} data sets, {arguments.seeds} seeds, {workers}; normalised regret, ", end=""
    )
    print("mean / median over the data sets")
    print(f"{'after hours':<56}" + "".join(f"{hours:>15g}" for hours in arguments.hours))
    rows = []
    for name in arguments.only or names():
        result = measure(name, tables, teacher, arguments)
        rows.append(row := result.row(arguments.hours))
        pairs = zip(row["mean"].values(), row["median"].values(), strict=True)
        cells = "".join(f"{f'{mean:.4f}/{median:.4f}':>15}" for mean, median in pairs)
        away = "" if result.distance is None else f"   distance {result.distance:.3f}"
        print(f"{name:<56}{cells}{away}", flush=True)
        if arguments.json:
            arguments.json.write_text(json.dumps({"methods": rows}, indent=2) + "\n")
    for line in teacher.ways():
        print(line)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tables", type=Path, metavar="TABLES")
    parser.add_argument("--train-tables", type=Path, metavar="DIR", help="learn from these alone")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--hours", type=float, nargs="+", default=HOURS)
    parser.add_argument("--only", nargs="+", choices=names(), metavar="NAME")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()

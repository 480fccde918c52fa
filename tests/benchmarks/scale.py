"""The limits of one driver: thousands of trials that train nothing, on several Ray nodes.

    python tests/benchmarks/scale.py [--trials N] [--nodes K] [--cpus C] [--json OUT]

Searcher, sampler, scheduler, journal and events are those of a search; the trials are stand-ins
that sleep 20 ms per epoch, and TensorFlow is never imported. Every node is a Ray node on this
machine with made-up processors, so the driver has to share the real ones with them. A row of the
table holds the trials since the row before: the CPU time of the driver's process and the searcher's
part of it, in milliseconds per trial. Then follows the searcher alone, without Ray, on journals of
up to ten thousand trials with a thousand running, and the rows extrapolated to such a study by a
straight line; rows before the sampler's window is full are left out of it.
"""

import argparse
import contextlib
import itertools
import json
import os
import random
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar
from unittest.mock import patch

os.environ["RAY_AUTH_MODE"] = "disabled"  # loopback only; tlsearch.search would require a token

import tlsearch.search  # noqa: F401, I001 - it holds the settings that Ray reads when imported

import numpy as np
import optuna
from machine import about, memory_mb
from ray import tune
from ray.cluster_utils import Cluster

from tlsearch.config.load import from_mapping
from tlsearch.config.schema import SearchConfig
from tlsearch.results.live.events import Event, TrialEnded
from tlsearch.results.record.journal import open_storage, read_journal
from tlsearch.results.record.directory import StudyDirectory
from tlsearch.search import runner, study
from tlsearch.search.cluster.ray_session import connect
from tlsearch.search.ending import Ending
from tlsearch.search.extend import plain_config
from tlsearch.search.ongoing import Search
from tlsearch.search.propose.optuna_space import Point, build_point
from tlsearch.search.propose.reopen import newest_study
from tlsearch.search.propose.searcher import TruthfulSearch
from tlsearch.search.propose.tpe_window import NEWEST
from tlsearch.search.trial.prepared_images import prepare_images

ROWS = (100, 500, 1000, 2000, 5000, 10_000)
EPOCHS, EPOCH_S = 9, 0.02
NO_TRIAL: Any = None  # a random sampler ignores it
FAR, SLOTS, PROPOSALS = 10_000, 1000, 20
ALONE = ((100, 16), (500, 16), (1000, 16), (2000, 16), (FAR, SLOTS))  # trials so far, running
SPACE = {
    "backbone": ["strokes", "photos"],
    "unfrozen_layers": [0, 15, "all"],
    "head_units": ["none", 128],
    "dropout": {"low": 0.0, "high": 0.5},
    "head_lr": {"low": 1e-4, "high": 1e-1, "log": True},
    "fine_tune_lr": {"low": 1e-5, "high": 1e-2, "log": True},
    "weight_decay": [0.0, 1e-4, 1e-3],
}


class StandIn(tune.Trainable):
    """A trial that learns nothing: its values depend only on its configuration and the epoch."""

    def setup(self, config: dict[str, Any]) -> None:
        """Begin the first trial."""
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Begin another trial."""
        self.trial, self.epoch = new_config["trial"], -1
        return True

    def step(self) -> dict[str, Any]:
        """Sleep for an epoch, and report all that a real trial reports."""
        time.sleep(EPOCH_S)
        self.epoch += 1
        return _result(self.trial, self.epoch) | {"done": self.epoch == EPOCHS}


def _result(trial: dict[str, Any], epoch: int) -> dict[str, Any]:
    return {
        "epoch": epoch,
        "value": _value(trial, epoch),
        "diverged": False,
        "gave_up": False,
        "failure": None,
        "failure_at": None,
        "fatal": False,
        "seconds": EPOCH_S * (epoch + 1),
        "trained_parameters": 100_000,
        "trained_share": 0.1,
        "work": json.dumps({"prefix": "x", "prefix_pass": 1e9, "done": 1e9, "least": 1e9}),
        "machine": "stand-in",
        "threads": 1,
    }


def _value(trial: dict[str, Any], epoch: int) -> float:
    """Return a value that depends on the rate and the depth, and rises with the epochs."""
    rate = trial["head_lr"] or trial["fine_tune_lr"]
    off = abs(np.log10(rate) + 3) / 3 + trial["dropout"] + 0.2 * (trial["unfrozen_layers"] == 0)
    return float(np.exp(-off) * (1 - 0.5 ** (epoch + 1)))


class Timed(TruthfulSearch):
    """The searcher of a search, which adds up the seconds that its answers take."""

    spent: ClassVar[defaultdict[str, float]] = defaultdict(float)

    def suggest(self, trial_id: str) -> Any:
        """Return a proposal, or that there is none now."""
        began = time.perf_counter()
        proposal = super().suggest(trial_id)
        self.spent["proposing" if isinstance(proposal, dict) else "idle"] += (
            time.perf_counter() - began
        )
        return proposal

    def take(self, trial_id: str, result: Mapping[str, Any]) -> bool:
        """Record an epoch."""
        began = time.perf_counter()
        goes_on = super().take(trial_id, result)
        self.spent["epochs"] += time.perf_counter() - began
        return goes_on

    def on_trial_complete(self, trial_id: str, *arguments: Any, **named: Any) -> None:
        """Record and announce an end."""
        began = time.perf_counter()
        super().on_trial_complete(trial_id, *arguments, **named)
        self.spent["ends"] += time.perf_counter() - began


class Watch:
    """Records the state of the driver at certain numbers of ended trials."""

    def __init__(self, home: StudyDirectory, trials: int) -> None:
        self._home = home
        self._rows = {row for row in ROWS if row < trials} | {trials}
        self._before = self._now()
        self.rows: list[dict[str, float]] = []

    def __call__(self, event: Event) -> None:
        if isinstance(event, TrialEnded) and event.ended in self._rows:
            now = self._now()
            elapsed = {name: now[name] - self._before[name] for name in now}
            count = event.ended - (self.rows[-1]["trials"] if self.rows else 0)
            self._before = now
            self.rows.append(
                {
                    "trials": event.ended,
                    "trials_per_s": count / elapsed.pop("wall"),
                    **{f"{name}_ms": 1000 * s / count for name, s in elapsed.items()},
                    "rss_mb": memory_mb(os.getpid()),
                    "journal_mb": self._home.journal_file.stat().st_size / 1e6,
                }
            )

    def _now(self) -> dict[str, float]:
        spent = {name: Timed.spent[name] for name in ("proposing", "epochs", "ends")}
        return {"wall": time.perf_counter(), "cpu": time.process_time(), **spent}


@contextlib.contextmanager
def nodes(count: int, cpus: int) -> Iterator[None]:
    """Run a cluster of `count` nodes and a head without processors during the block."""
    quiet = {"include_dashboard": False, "object_store_memory": 80 * 2**20}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **quiet})
    try:
        for _ in range(count):
            cluster.add_node(num_cpus=cpus, object_store_memory=80 * 2**20)
        cluster.wait_for_nodes()
        os.environ["RAY_ADDRESS"] = cluster.address
        yield
    finally:
        os.environ.pop("RAY_ADDRESS", None)
        cluster.shutdown()


def search(config: SearchConfig, home: StudyDirectory) -> tuple[int, Watch]:
    """Run all trials of a study as `tlsearch run` does; return the slots and the records."""
    stand_in = tune.with_resources(StandIn, {"cpu": 1})
    replaced = patch.multiple(runner, TruthfulSearch=Timed, _trainable=lambda search: stand_in)
    with replaced, home.locked(), connect(config.resources) as slots:
        home.write_about(plain_config(config))
        watch = Watch(home, config.trials)
        study.run_and_confirm(
            Search(config, home, prepare_images(config), Ending(), watch, slots),
            lambda: None,
            lambda: None,
        )
    return slots, watch


def alone(config: SearchConfig, trials: int, at_work: int, folder: Path) -> dict[str, float]:
    """Return milliseconds per proposal and per end of a searcher with so many recorded trials."""
    journal = folder / f"{trials}.log"
    _fill(config, journal, trials)
    wide = config.model_copy(update={"trials": 10 * (trials + at_work)})
    searcher = Timed(wide, journal, lambda *ended: None)
    names = [str(number) for number in range(at_work + PROPOSALS)]
    proposed = [searcher.suggest(name)["trial"] for name in names[:at_work]]
    Timed.spent.clear()
    proposed += [searcher.suggest(name)["trial"] for name in names[at_work:]]
    for name, trial in zip(names[:PROPOSALS], proposed[:PROPOSALS], strict=True):
        searcher.on_trial_complete(name, _result(trial, 2))
    spent = {name: 1000 * Timed.spent[name] / PROPOSALS for name in ("proposing", "ends")}
    return {"trials": trials, "at_work": at_work, **spent}


def _fill(config: SearchConfig, journal: Path, trials: int) -> None:
    """Add random trials, about a third of them finished, the others stopped at epoch 2."""
    history, chance = newest_study(config, open_storage(journal)), random.Random(0)
    uniform = optuna.samplers.RandomSampler(seed=0)
    state = optuna.trial.TrialState
    for _ in range(trials):
        kinds: dict[str, Any] = {}

        def ask(name: str, kind: Any, kinds: dict[str, Any] = kinds) -> Any:
            kinds[name] = kind
            return uniform.sample_independent(history, NO_TRIAL, name, kind)

        point, last = build_point(config, ask), chance.choice((EPOCHS, 2, 2))
        history.add_trial(_frozen(point, kinds, last, state))


def _frozen(point: Point, kinds: dict[str, Any], last: int, state: Any) -> optuna.trial.FrozenTrial:
    plain = point.trial.to_json()
    done = last == EPOCHS
    return optuna.trial.create_trial(
        state=state.COMPLETE if done else state.PRUNED,
        value=_value(plain, last),
        params=dict(point.parameters),
        distributions=kinds,
        user_attrs={"config": json.dumps(plain), "outcome": "finished" if done else "stopped"},
        intermediate_values={epoch: _value(plain, epoch) for epoch in range(last + 1)},
    )


def far(at: list[float], values: list[float]) -> float:
    """Extrapolate a column to ten thousand trials by a straight line; NaN if it has one row."""
    if len(at) < 2:
        return float("nan")
    slope, start = np.polyfit(at, values, 1)
    return float(start + max(slope, 0) * FAR)


def main() -> None:
    arguments = _arguments()
    with tempfile.TemporaryDirectory(prefix="scale-") as folder:
        result = about() | _searched(arguments, Path(folder))
        _print_search(result)
        config = _config(arguments.trials, Path(folder))
        result["alone"] = [alone(config, *size, Path(folder)) for size in ALONE]
    result["far"] = _far(result)
    _print_far(result)
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")


def _searched(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    home = StudyDirectory(folder / "study")
    began = time.perf_counter()
    with nodes(arguments.nodes, arguments.cpus):
        slots, watch = search(_config(arguments.trials, folder), home)
    return {
        "trials": arguments.trials,
        "nodes": arguments.nodes,
        "slots": slots,
        "seconds": time.perf_counter() - began,
        "epochs": sum(trial.epochs + 1 for trial in read_journal(home.journal_file).trials),
        "journal_lines": home.journal_file.read_bytes().count(b"\n"),
        "rows": watch.rows,
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--nodes", type=int, default=8)
    parser.add_argument("--cpus", type=int, default=2, help="made-up processors of a node")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def _config(trials: int, folder: Path) -> SearchConfig:
    plain = {"data": {"kind": "digits"}, "space": SPACE, "epochs": EPOCHS, "trials": trials}
    return from_mapping({**plain, "confirm": 0, "cache": str(folder / "cache")})


def _far(result: dict[str, Any]) -> dict[str, float]:
    """Describe a study of ten thousand trials on a thousand slots, from measurements and lines."""
    rows, most = result["rows"], result["alone"][-1]
    spans = itertools.pairwise([0, *(row["trials"] for row in rows)])
    full = [
        (row, sum(span) / 2) for row, span in zip(rows, spans, strict=True) if span[0] >= NEWEST
    ]
    cpu_ms = far([middle for _, middle in full], [row["cpu_ms"] for row, _ in full])
    return {
        "cpu_ms": cpu_ms,
        "trials_per_s": 1000 / cpu_ms,
        "shortest_trial_s": SLOTS * cpu_ms / 1000,
        "rss_mb": far([r["trials"] for r, _ in full], [r["rss_mb"] for r, _ in full]),
        "journal_mb": rows[-1]["journal_mb"] * FAR / rows[-1]["trials"],
        "proposing_ms": most["proposing"],
        "ends_ms": most["ends"],
    }


def _print_search(result: dict[str, Any]) -> None:
    machine = result["machine"]
    print(f"{machine['processor']}, {machine['cores']} cores, {result['nodes']} nodes of Ray")
    print(
        f"{result['trials']} trials, {result['epochs']} epochs of {1000 * EPOCH_S:.0f} ms, "
        f"{result['slots']} at a time, {result['seconds']:.0f} s with the start of the cluster, "
        f"{result['journal_lines'] / result['trials']:.0f} journal lines a trial"
    )
    names = ("trials_per_s", "cpu_ms", "proposing_ms", "epochs_ms", "ends_ms")
    heads = ("trials/s", "CPU ms", "proposing", "its epochs", "its end", "RSS MB", "journal MB")
    print(f"{'trials':>7} " + " ".join(f"{head:>10}" for head in heads))
    for row in result["rows"]:
        cells = [row[name] for name in (*names, "rss_mb", "journal_mb")]
        print(f"{row['trials']:7} " + " ".join(f"{cell:10.1f}" for cell in cells), flush=True)


def _print_far(result: dict[str, Any]) -> None:
    print("the searcher alone, ms")
    print(f"{'trials':>7} {'at work':>10} {'proposing':>10} {'its end':>10}")
    for row in result["alone"]:
        print("{trials:7} {at_work:10} {proposing:10.1f} {ends:10.1f}".format(**row))
    last = result["far"]
    print(
        f"{FAR} trials by a straight line: {last['cpu_ms']:.0f} ms of the driver a trial, "
        f"{last['trials_per_s']:.0f} trials/s at the most, {last['rss_mb']:.0f} MB, "
        f"journal {last['journal_mb']:.0f} MB;\n"
        f"{SLOTS} slots wait for the driver where trials are shorter than "
        f"{last['shortest_trial_s']:.0f} s"
    )


if __name__ == "__main__":
    main()

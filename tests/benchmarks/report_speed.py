"""The time that `tlsearch report` takes on a large study.

    python tests/benchmarks/report_speed.py [--trials N] [--epochs E] [--json OUT]

Writes the journal of a study that never ran, and reports it in a separate process in each format
that needs no page. Prints seconds.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import optuna
from optuna.distributions import FloatDistribution
from optuna.storages.journal import BaseJournalBackend
from optuna.trial import TrialState

from tlsearch.results.record.directory import StudyDirectory
from tlsearch.results.record.journal import STUDY_NAME


class Memory(BaseJournalBackend):
    """A journal in memory: writing 30,000 lines one by one to a disk takes minutes."""

    def __init__(self) -> None:
        self.lines: list[dict[str, object]] = []

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, object]]:
        """Return the lines from this number on."""
        return iter(self.lines[log_number_from:])

    def append_logs(self, logs: Iterable[dict[str, object]]) -> None:
        """Add lines."""
        self.lines += logs


def main() -> None:
    arguments = _arguments()
    with tempfile.TemporaryDirectory() as folder:
        home = StudyDirectory(Path(folder) / "study")
        _write(home, arguments.trials, arguments.epochs)
        result = {"trials": arguments.trials, "epochs": arguments.epochs}
        result["journal_bytes"] = home.journal_file.stat().st_size
        for form in ("table", "json", "csv", "md"):
            result[f"{form}_s"] = _time(home, "--format", form)
        result["filtered_s"] = _time(home, "--filter", "metric > 0.5", "--top", "10")
    print(json.dumps(result, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=18)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def _write(home: StudyDirectory, trials: int, epochs: int) -> None:
    home.write_about({"name": "large", "metric": "accuracy"}, data={"images": {"validation": 500}})
    memory, chance = Memory(), random.Random(0)
    study = optuna.create_study(
        storage=optuna.storages.JournalStorage(memory),
        study_name=STUDY_NAME,
        direction="maximize",
        sampler=optuna.samplers.RandomSampler(seed=0),
    )
    for _ in range(trials):
        _trial(study, epochs, chance)
    home.journal_file.write_text("".join(json.dumps(line) + "\n" for line in memory.lines))


def _trial(study: optuna.Study, epochs: int, chance: random.Random) -> None:
    trial = study.ask({"fine_tune_lr": FloatDistribution(1e-5, 1e-2, log=True)})
    config = {"backbone": "mobilenet_v2", "unfrozen_layers": 15, "head_units": [128]}
    trial.set_user_attr("config", json.dumps(config | trial.params))
    for epoch in range(epochs):
        trial.report(chance.random(), epoch)
    notes = {"outcome": "stopped", "reason": "stopped at epoch 2", "seconds": 3.5}
    for name, value in (notes | {"trained_parameters": 1000, "trained_share": 0.25}).items():
        trial.set_user_attr(name, value)
    study.tell(trial, state=TrialState.PRUNED)


def _time(home: StudyDirectory, *options: str) -> float:
    command = [sys.executable, "-m", "tlsearch.cli.main", "report", str(home.root), *options]
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return round(time.perf_counter() - began, 2)


if __name__ == "__main__":
    main()

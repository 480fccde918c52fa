"""Run a list of trials through tlsearch, as a separate process.

    python tests/benchmarks/searched.py JOB.json RESULT.json

JOB holds a search space as plain values (`config`) and a new study directory (`study`). RESULT
holds the end of each trial and of the last one, on the clock that all processes share; the export
and the report, which come later, are not counted.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import tlsearch
from tlsearch.config.load import from_mapping
from tlsearch.results.live.events import Event, TrialEnded


def main() -> None:
    job = json.loads(Path(sys.argv[1]).read_text())
    ended: list[float] = []  # the end of each trial, in order

    def listen(event: Event) -> None:
        print(event, flush=True)
        if isinstance(event, TrialEnded):
            ended.append(time.monotonic())

    study = tlsearch.run(from_mapping(job["config"]), Path(job["study"]), listen=listen)
    if not ended:
        raise SystemExit(f"the search did not come to its end: {study.ended_by}")
    trials = [_row(study, trial) for trial in study.record().trials]
    result = {"ended": ended[-1], "ends": ended, "trials": trials}
    Path(sys.argv[2]).write_text(json.dumps(result))


def _row(study: "tlsearch.Study", trial: Any) -> dict[str, Any]:
    best = trial.best(study.config.direction)
    return {
        "backbone": trial.config["backbone"],
        "unfrozen_layers": trial.config["unfrozen_layers"],
        "head_units": sum(trial.config["head_units"]),
        "state": trial.state,
        "epochs": trial.epochs,
        "best_accuracy": None if best is None else best[1],
    }


if __name__ == "__main__":
    main()

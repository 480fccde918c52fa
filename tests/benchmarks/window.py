"""Whether a bounded view of the past hurts TPE: whole searches without training, seed by seed.

    python tests/benchmarks/window.py [--trials N] [--seeds S] [--newest W ...] [--json OUT]

The value of a trial is a function of its configuration, whose best rate depends on how much is
unfrozen, plus noise of 0.01. Two of three trials stop at epoch 2, since the top third of their rung
goes on. `newest` is the number of ended trials that TPE sees besides the best 25; the number of
trials stands for an unbounded view. The table shows the best value without noise after a quarter, a
half and all of the trials, the mean value of the last quarter, and milliseconds per proposal there.
"""

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import optuna

from tlsearch.config.load import from_mapping
from tlsearch.config.schema import SearchConfig
from tlsearch.config.trial_config import TrialConfig
from tlsearch.search.propose.optuna_space import draw_points, write_parameters
from tlsearch.search.propose.tpe_window import NEWEST, Window, tpe

SPACE = {
    "backbone": ["strokes", "photos", "mobilenet_v2"],
    "unfrozen_layers": [0, 5, 15, 40, "all"],
    "head_units": ["none", 128, [256, 128]],
    "dropout": {"low": 0.0, "high": 0.5},
    "head_lr": {"low": 1e-5, "high": 1e-1, "log": True},
    "fine_tune_lr": {"low": 1e-6, "high": 1e-1, "log": True},
    "weight_decay": [0.0, 1e-4, 1e-3],
    "label_smoothing": {"low": 0.0, "high": 0.3},
}
NOISE, REDUCTION = 0.01, 3
BETTER = {"strokes": 0.0, "photos": 0.05, "mobilenet_v2": 0.1}
AT_BEST = {0: -2.0, 5: -2.5, 15: -3.0, 40: -3.5, "all": -4.5}  # log10 of the best rate
GAIN = {0: 0.0, 5: 0.02, 15: 0.05, 40: 0.04, "all": 0.03}


def quality(trial: TrialConfig) -> float:
    """Return a trial's value without noise, at most 0.95."""
    off = np.log10(trial.learning_rate) - AT_BEST[trial.unfrozen_layers]
    lost = 0.08 * off**2 + 0.4 * (trial.dropout - 0.2) ** 2
    lost += 0.5 * (trial.label_smoothing - 0.1) ** 2 + 0.02 * (trial.head_units != (128,))
    return float(0.8 + BETTER[trial.backbone] + GAIN[trial.unfrozen_layers] - lost)


def search(config: SearchConfig, newest: int, seed: int) -> tuple[list[float], list[float]]:
    """Return the noise-free values of all trials in order, and the seconds of their proposals."""
    study = optuna.create_study(direction="maximize", sampler=tpe(seed))
    window, chance = Window(study, newest), np.random.default_rng(seed)
    rung: list[float] = []
    values, seconds = [], []
    for _ in range(config.trials):
        began = time.perf_counter()
        trial = study.ask()
        point = next(
            draw_points(config, window.refresh(), study._storage.get_trial(trial._trial_id))
        )
        seconds.append(time.perf_counter() - began)
        write_parameters(study._storage, trial._trial_id, point, config.space)
        values.append(quality(point.trial))
        _end(study, trial, values[-1] + NOISE * chance.standard_normal(), rung)
        window.take(study._storage.get_trial(trial._trial_id))
    return values, seconds


def _end(study: optuna.Study, trial: optuna.Trial, value: float, rung: list[float]) -> None:
    """End a trial: complete if it is among the top third of the rung, else pruned there."""
    trial.report(value - 0.1, 2)
    rung.append(value)
    if value >= np.percentile(rung, 100 * (1 - 1 / REDUCTION)):
        study.tell(trial, value)
    else:
        study.tell(trial, state=optuna.trial.TrialState.PRUNED)


def summary(values: list[float], seconds: list[float]) -> dict[str, float]:
    """Summarise one search."""
    quarter = len(values) // 4
    return {
        "best_quarter": max(values[:quarter]),
        "best_half": max(values[: 2 * quarter]),
        "best": max(values),
        "mean_last": statistics.mean(values[-quarter:]),
        "proposal_ms": 1000 * statistics.mean(seconds[-quarter:]),
    }


def main() -> None:
    arguments = _arguments()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    plain: dict[str, Any] = {"data": {"kind": "digits"}, "space": SPACE}
    config = from_mapping({**plain, "trials": arguments.trials})
    names = ("best_quarter", "best_half", "best", "mean_last", "proposal_ms")
    print(f"{arguments.trials} trials, {arguments.seeds} seeds; mean (standard deviation)")
    print(f"{'newest':>7} " + " ".join(f"{name:>16}" for name in names))
    result = {}
    for newest in [*arguments.newest, arguments.trials]:
        runs = [summary(*search(config, newest, seed)) for seed in range(arguments.seeds)]
        result[newest] = runs
        columns = [[run[name] for run in runs] for name in names]
        cells = [f"{statistics.mean(c):.4f} ({statistics.pstdev(c):.4f})" for c in columns]
        print(f"{newest:7} " + " ".join(f"{cell:>16}" for cell in cells), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--newest", type=int, nargs="+", default=[NEWEST])
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()

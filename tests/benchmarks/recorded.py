"""Recorded fine-tuning curves: the tables that a search is replayed on, and distances in them."""

import gzip
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

SUFFIX = ".json.gz"


@dataclass(frozen=True)
class Run:
    """A recorded run: its configuration, and accuracy in per cent and seconds by epoch."""

    config: Mapping[str, Any]
    accuracy: Sequence[float]
    seconds: Sequence[float]


@dataclass(frozen=True)
class Table:
    """All runs of one data set, and how many images and classes it has."""

    name: str
    images: int
    classes: int
    runs: Sequence[Run]

    @cached_property
    def best(self) -> float:
        """The best accuracy of any epoch of any run."""
        return max(max(run.accuracy) for run in self.runs)

    @cached_property
    def worst(self) -> float:
        """The worst accuracy of any epoch of any run."""
        return min(min(run.accuracy) for run in self.runs)

    def regret(self, seen: float | None) -> float:
        """How far an accuracy is from the best, as a share of the way from the worst to it."""
        return 1.0 if seen is None else (self.best - seen) / (self.best - self.worst)

    @cached_property
    def space(self) -> dict[str, BaseDistribution]:
        """What varies between the runs, as Optuna names it; rates and sizes by magnitude."""
        return {
            name: found
            for name in sorted(self.runs[0].config)
            if (found := _distribution([run.config[name] for run in self.runs])) is not None
        }

    @cached_property
    def _units(self) -> dict[str, np.ndarray]:
        return {
            name: _unit(found, [run.config[name] for run in self.runs])
            for name, found in self.space.items()
        }

    def distances(self, config: Mapping[str, Any]) -> np.ndarray:
        """From a configuration to each run: the mean over what varies of 0 ... 1 each. (runs,)"""
        parts = []
        for name, known in self._units.items():
            own = _unit(self.space[name], [config[name]])[0]
            named = isinstance(self.space[name], CategoricalDistribution)
            parts.append(known != own if named else abs(known - own))
        return np.asarray(np.mean(np.array(parts, dtype=float), axis=0))


def _distribution(values: Sequence[Any]) -> BaseDistribution | None:
    """A choice between names, and between numbers of which one is 0; else a range."""
    known = sorted(set(values), key=str)
    if len(known) == 1:
        return None
    if isinstance(known[0], str) or min(known) <= 0 or len(known) == 2:
        return CategoricalDistribution(known)
    return FloatDistribution(min(known), max(known), log=True)


def _unit(found: BaseDistribution, values: Iterable[Any]) -> np.ndarray:
    """Values on a scale from 0 to 1; choices by their place."""
    inner = np.array([found.to_internal_repr(value) for value in values], dtype=float)
    if not isinstance(found, FloatDistribution):
        return inner
    low, high = np.log(found.low), np.log(found.high)
    return np.asarray((np.log(inner) - low) / (high - low))


def read(folder: Path) -> list[Table]:
    """The tables of a folder, by name."""
    tables = [_table(path) for path in sorted(folder.glob(f"*{SUFFIX}"))]
    if not tables:
        raise SystemExit(f"{folder}: found no *{SUFFIX}, expected one for each data set")
    return tables


def _table(path: Path) -> Table:
    with gzip.open(path, "rt") as file:
        told = json.load(file)
    runs = [Run(run["config"], run["accuracy"], run["seconds"]) for run in told["runs"]]
    return Table(path.name.removesuffix(SUFFIX), told["n_images"], told["n_classes"], runs)

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
    """A recorded run: its configuration, and per epoch its accuracy in percent and its seconds."""

    config: Mapping[str, Any]
    accuracy: Sequence[float]
    seconds: Sequence[float]


@dataclass(frozen=True)
class Table:
    """All runs of one data set, and the number of its images and classes."""

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
        """Return (best - seen) / (best - worst), or 1 if nothing was seen."""
        return 1.0 if seen is None else (self.best - seen) / (self.best - self.worst)

    @cached_property
    def space(self) -> dict[str, BaseDistribution]:
        """The parameters that vary between runs, as Optuna distributions; ranges on a log scale."""
        return {
            name: distribution
            for name in sorted(self.runs[0].config)
            if (distribution := _distribution([run.config[name] for run in self.runs])) is not None
        }

    @cached_property
    def _units(self) -> dict[str, np.ndarray]:
        return {
            name: _unit(distribution, [run.config[name] for run in self.runs])
            for name, distribution in self.space.items()
        }

    def distances(self, config: Mapping[str, Any]) -> np.ndarray:
        """Return the distance to each run, (runs,): the mean over parameters of 0 to 1 each."""
        parts = []
        for name, known in self._units.items():
            own = _unit(self.space[name], [config[name]])[0]
            named = isinstance(self.space[name], CategoricalDistribution)
            parts.append(known != own if named else abs(known - own))
        return np.asarray(np.mean(np.array(parts, dtype=float), axis=0))


def _distribution(values: Sequence[Any]) -> BaseDistribution | None:
    """Return a choice for names, two values, or numbers that include 0, otherwise a log range.

    A constant has no distribution: None.
    """
    known = sorted(set(values), key=str)
    if len(known) == 1:
        return None
    if isinstance(known[0], str) or min(known) <= 0 or len(known) == 2:
        return CategoricalDistribution(known)
    return FloatDistribution(min(known), max(known), log=True)


def _unit(distribution: BaseDistribution, values: Iterable[Any]) -> np.ndarray:
    """Return values on a log scale from 0 to 1; choices as their index."""
    inner = np.array([distribution.to_internal_repr(value) for value in values], dtype=float)
    if not isinstance(distribution, FloatDistribution):
        return inner
    low, high = np.log(distribution.low), np.log(distribution.high)
    return np.asarray((np.log(inner) - low) / (high - low))


def read(folder: Path) -> list[Table]:
    """Read the tables of a folder, in the order of their names."""
    tables = [_table(path) for path in sorted(folder.glob(f"*{SUFFIX}"))]
    if not tables:
        raise SystemExit(f"{folder}: found no *{SUFFIX}, expected one for each data set")
    return tables


def _table(path: Path) -> Table:
    with gzip.open(path, "rt") as file:
        table = json.load(file)
    runs = [Run(run["config"], run["accuracy"], run["seconds"]) for run in table["runs"]]
    return Table(path.name.removesuffix(SUFFIX), table["n_images"], table["n_classes"], runs)

"""The prior: which trials to try first, learned from recorded fine-tuning runs on other data sets.

`learn_prior.py` fits a smooth function to those runs, shipped as `prior.npz`. It predicts the gain
of a trial: the share of a data set's runs that it beats. The cost of a trial follows from its
multiply-adds. Of `POOL` points drawn uniformly from the space, the one with the
largest gain / cost^`COST_POWER` is proposed first.

The function sees a trial as these features:

- backbone: published ImageNet accuracy and multiply-adds. Where no accuracy is published (your own
  weights or those of this project) it counts as the lowest one among the recorded networks.
- `unfrozen_layers`, `unfrozen_blocks`: the share of layers that train.
- `head_lr`, `fine_tune_lr`: the one that the trial uses, as the learning rate.
- `batch_size`, `dropout`, `weight_decay`, `label_smoothing`; `optimizer` and `schedule` where the
  runs have them: SGD or not, cosine, reduced on a plateau.
- the numbers of training images and of classes.

Other hyper-parameters (pooling, head widths, augmentation ...) have no counterpart in the recorded
runs and do not change a prediction.
"""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

import numpy as np
import optuna
from numpy.typing import NDArray

from tlsearch.config.networks.lookup import row_of
from tlsearch.config.schema import SearchConfig
from tlsearch.config.trial_config import TrialConfig
from tlsearch.search.propose.duplicates import Tried
from tlsearch.search.propose.optuna_space import Point, place

FILE = Path(__file__).with_name("prior.npz")

POOL = 256
FIRST = 10  # trials that the prior proposes alone
COST_POWER = 0.2  # what most folds of the recorded runs choose, see `tests/benchmarks/replay.py`

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Smooth:
    """A sum of Matern 3/2 kernels: `base`, and `weights`, (m,), at `centres`, (m, features).

    Features are kept within `low` and `high`, (features,) each: the function says nothing of values
    beyond what was recorded. One that is absent (NaN) counts as the lowest. `scale`, (features,),
    makes distances comparable: the larger, the more a feature matters.
    """

    base: float
    low: Floats
    high: Floats
    scale: Floats
    centres: Floats
    weights: Floats

    def predict(self, rows: Floats) -> Floats:
        """One number per row; `rows`: (n, features). (n,)"""
        known = np.clip(np.where(np.isnan(rows), self.low, rows), self.low, self.high)
        near = matern(known * self.scale, self.centres * self.scale)
        return np.asarray(self.base + near @ self.weights)


def matern(rows: Floats, others: Floats) -> Floats:
    """How near rows are to others, 1 where they are equal. (n, m)"""
    squares = (rows**2).sum(1)[:, None] + (others**2).sum(1) - 2 * rows @ others.T
    away = np.sqrt(3 * np.maximum(squares, 0))
    return np.asarray((1 + away) * np.exp(-away))


@dataclass(frozen=True)
class Sizes:
    """The numbers of training images and of classes of a study."""

    images: int
    classes: int


def described(
    *,
    lr: float,
    batch_size: float,
    trained_share: float,
    dropout: float,
    weight_decay: float,
    label_smoothing: float,
    sgd: bool,
    cosine: bool,
    plateau: bool,
    accuracy: float | None,
    multiply_adds: float | None,
    images: float,
    classes: float,
) -> list[float]:
    """The features of a trial: magnitudes by their logarithm, shares and flags as they are, NaN for
    what is absent.
    """
    log = math.log10
    return [
        *(log(lr), log(batch_size), trained_share, dropout, log(weight_decay + 1e-6)),
        *(label_smoothing, float(sgd), float(cosine), float(plateau)),
        math.nan if accuracy is None else accuracy,
        math.nan if multiply_adds is None else log(multiply_adds),
        *(log(images), log(classes), log(lr / batch_size), log(images / batch_size)),
    ]


def features(trial: TrialConfig, sizes: Sizes) -> list[float]:
    """The features of a trial of tlsearch."""
    row = row_of(trial.backbone)
    known = trial.weights == "imagenet" or (trial.weights, row.shipped) == ("default", None)
    return described(
        lr=trial.learning_rate,
        batch_size=trial.batch_size,
        trained_share=trained_share(trial),
        dropout=trial.dropout,
        weight_decay=trial.weight_decay,
        label_smoothing=trial.label_smoothing,
        sgd=trial.optimizer == "sgd",
        cosine=trial.schedule == "cosine",
        plateau=trial.schedule == "reduce_on_plateau",
        accuracy=row.published.top1 if known and row.published is not None else None,
        multiply_adds=multiply_adds(trial),
        images=sizes.images,
        classes=sizes.classes,
    )


def multiply_adds(trial: TrialConfig) -> float:
    """Of one pass of an image through the backbone, at the size of the study's images."""
    row = row_of(trial.backbone)
    return max(1.0, row.multiply_adds * (trial.image_px / row.image_px) ** 2)


def trained_share(trial: TrialConfig) -> float:
    """The share of the backbone's layers that trains, from 0 to 1."""
    layers = row_of(trial.backbone).layers
    return (layers - trial.depth.first_layer(layers)) / layers


def log_cost(trial: TrialConfig) -> float:
    """The logarithm of a trial's multiply-adds per image, if nothing stops it: one pass through
    the frozen part, and in each epoch one forwards and backwards through what trains.
    """
    share = trained_share(trial)
    return math.log(multiply_adds(trial) * (1 - share + 3 * share * trial.epochs))


def merit(gain: Floats, log_costs: Floats, power: float = COST_POWER) -> Floats:
    """The logarithm of gain / cost^power. (n,)"""
    return np.asarray(np.log(np.maximum(gain, 0.01)) - power * log_costs)


@cache
def shipped() -> Smooth:
    """The function that comes with this package."""
    with np.load(FILE, allow_pickle=False) as file:
        about = json.loads(str(file["about"]))
        names = ("low", "high", "scale", "centres", "weights")
        return Smooth(about["base"], **{name: file[name].astype(float) for name in names})


class Prior:
    """What the prior proposes in a study: in its turns, the points that it thinks most of.

    The pool follows from the study's seed, so that a resumed study goes on with the same points.
    """

    def __init__(self, config: SearchConfig, sizes: Sizes) -> None:
        self._config = config
        self._sizes = sizes
        self._best_first: list[Point] = []

    def points(
        self, study: optuna.Study, trial: optuna.trial.FrozenTrial, tried: Tried
    ) -> Iterator[Point]:
        """The points that no trial has, the best first; none where it is not the prior's turn, or
        the trial is a baseline.
        """
        if "fixed_params" in trial.system_attrs or not has_turn(trial.number):
            return
        if not self._best_first:
            self._best_first = best_first(pool(self._config, study, trial), self._sizes)
        yield from (point for point in self._best_first if not tried.trains(point.trial))


def best_first(points: Sequence[Point], sizes: Sizes) -> list[Point]:
    """Points of a space, those with the largest gain over cost first; of equals the earlier."""
    rows = np.array([features(point.trial, sizes) for point in points])
    costs = np.array([log_cost(point.trial) for point in points])
    order = np.argsort(-merit(shipped().predict(rows), costs), kind="stable")
    return [replace(points[place], by_prior=True) for place in order]


def pool(config: SearchConfig, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> list[Point]:
    """Points drawn uniformly from a space: the same for every driver of a study."""
    uniform = optuna.samplers.RandomSampler(seed=config.seed)
    ask = partial(uniform.sample_independent, study, trial)
    return [place(config, ask) for _ in range(POOL)]


def has_turn(number: int) -> bool:
    """Whether the prior proposes the trial `number`, counted from 0, and not the sampler.

    The first `FIRST` trials, then a share of `FIRST` / 2 / number: the more trials show of these
    images, the more they count. The prior's share goes to 0, so that a search which the prior
    misleads ends as one without it. Until 2 * `FIRST` trials have ended the sampler draws
    uniformly: from the prior's trials alone TPE would only learn where the prior has been.
    """
    if number < FIRST:
        return True
    half = FIRST / 2
    return math.floor(half * math.log(number + 1)) > math.floor(half * math.log(number))

"""The prior: which trials to try first, learned from recorded fine-tuning runs on other data sets.

`learn_prior.py` fits a smooth function to those runs, shipped as `prior.npz`. It predicts the gain
of a trial: the share of a data set's runs that it beats. The cost of a trial follows from its
multiply-adds. Of `POOL` points drawn uniformly from the space, the one with the largest gain /
cost^`COST_POWER` is proposed first. Of points that are alike (the same backbone, trained to a
similar depth) the n-th best counts with 1 / n of its gain, so that the first trials are not all
alike.

The function describes a trial by these features:

- backbone: published ImageNet accuracy and multiply-adds. If no accuracy is published for one of
  the space's backbones (your own weights or those of this project), the prior proposes nothing,
  because it cannot compare them.
- `unfrozen_layers`, `unfrozen_blocks`: the share of layers that train.
- `head_lr`, `fine_tune_lr`: the one that the trial uses, as the learning rate.
- `batch_size`, `dropout`, `weight_decay`, `label_smoothing`; of `optimizer` and `schedule` what the
  recorded runs distinguish: SGD or not, cosine, reduced on a plateau.
- the numbers of training images and of classes.

Other hyper-parameters (pooling, head widths, augmentation ...) have no counterpart in the recorded
runs and do not change a prediction.
"""

import json
import math
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

import numpy as np
import optuna
from numpy.typing import NDArray

from tlsearch.config.networks.lookup import row_of
from tlsearch.config.requirements import networks_without_accuracy
from tlsearch.config.schema import SearchConfig
from tlsearch.config.trial_config import TrialConfig
from tlsearch.search.propose.duplicates import Tried
from tlsearch.search.propose.optuna_space import Point, build_point

FILE = Path(__file__).with_name("prior.npz")

POOL = 256
FIRST = 10  # trials at the beginning that the prior alone proposes
COST_POWER = 0.2  # the choice of most folds of the recorded runs, see `tests/benchmarks/replay.py`

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Smooth:
    """A weighted sum of Matern 3/2 kernels.

    The kernels are at `centres`, (m, features), with `weights`, (m,); `base` is added to the sum.
    Features are clipped to `low` and `high`, (features,) each, so that the function does not
    extrapolate beyond the recorded values. An absent feature (NaN) counts as the lowest. `scale`,
    (features,), makes distances comparable: the larger it is, the more a feature matters.
    """

    base: float
    low: Floats
    high: Floats
    scale: Floats
    centres: Floats
    weights: Floats

    def predict(self, rows: Floats) -> Floats:
        """Return one prediction per row, (n,), for `rows` of shape (n, features)."""
        known = np.clip(np.where(np.isnan(rows), self.low, rows), self.low, self.high)
        near = matern(known * self.scale, self.centres * self.scale)
        return np.asarray(self.base + near @ self.weights)


def matern(rows: Floats, others: Floats) -> Floats:
    """Return the Matern 3/2 kernel between rows, (n, features), and others, (m, features): (n, m),
    1 for equal rows.
    """
    squares = (rows**2).sum(1)[:, None] + (others**2).sum(1) - 2 * rows @ others.T
    away = np.sqrt(3 * np.maximum(squares, 0))
    return np.asarray((1 + away) * np.exp(-away))


@dataclass(frozen=True)
class Sizes:
    """The numbers of training images and of classes of a study."""

    images: int
    classes: int


def features_from(
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
    """Return the features of a trial: magnitudes as log10, shares and flags unchanged, NaN for
    absent values.
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
    """Return the features of a trial of tlsearch."""
    return features_from(
        lr=trial.learning_rate,
        batch_size=trial.batch_size,
        trained_share=trained_share(trial),
        dropout=trial.dropout,
        weight_decay=trial.weight_decay,
        label_smoothing=trial.label_smoothing,
        sgd=trial.optimizer == "sgd",
        cosine=trial.schedule == "cosine",
        plateau=trial.schedule == "reduce_on_plateau",
        accuracy=row_of(trial.backbone).published_accuracy(trial.weights),
        multiply_adds=multiply_adds(trial),
        images=sizes.images,
        classes=sizes.classes,
    )


def multiply_adds(trial: TrialConfig) -> float:
    """Return the multiply-adds of one forward pass of an image through the backbone, at the size of
    the study's images.
    """
    row = row_of(trial.backbone)
    return max(1.0, row.multiply_adds * (trial.image_px / row.image_px) ** 2)


def trained_share(trial: TrialConfig) -> float:
    """Return the share of the backbone's layers that train, from 0 to 1."""
    layers = row_of(trial.backbone).layers
    return (layers - trial.depth.first_layer(layers)) / layers


def log_cost(trial: TrialConfig) -> float:
    """Return the logarithm of a trial's multiply-adds per image if it trains all its epochs.

    These are one pass through the frozen layers, and in each epoch a forward and a backward pass,
    which together count as three passes, through the layers that train.
    """
    share = trained_share(trial)
    return math.log(multiply_adds(trial) * (1 - share + 3 * share * trial.epochs))


def merit(gain: Floats, log_costs: Floats, power: float = COST_POWER) -> Floats:
    """Return the logarithm of gain / cost^power. (n,)"""
    return np.asarray(np.log(np.maximum(gain, 0.01)) - power * log_costs)


@cache
def load_shipped() -> Smooth:
    """Load the learned function that is shipped with this package."""
    with np.load(FILE, allow_pickle=False) as file:
        about = json.loads(str(file["about"]))
        names = ("low", "high", "scale", "centres", "weights")
        return Smooth(about["base"], **{name: file[name].astype(float) for name in names})


def prior_of(config: SearchConfig, sizes: Sizes | None) -> "Prior | None":
    """Return the prior of a study; None if it is off or does not know all networks of the space."""
    if config.prior == "off" or sizes is None or networks_without_accuracy(config):
        return None
    return Prior(config, sizes)


class Prior:
    """Proposes the points that the prior rates highest, for the trials that are its turn.

    The pool of points depends only on the study's seed and space, so that a resumed study continues
    with the same points.
    """

    def __init__(self, config: SearchConfig, sizes: Sizes) -> None:
        self._config = config
        self._sizes = sizes
        self._best_first: list[Point] = []

    def points(
        self, study: optuna.Study, trial: optuna.trial.FrozenTrial, tried: Tried
    ) -> Iterator[Point]:
        """Yield the points that no trial has, best first; none if it is not the prior's turn, or if
        the trial is a baseline.
        """
        if "fixed_params" in trial.system_attrs or not has_turn(trial.number):
            return
        if not self._best_first:
            self._best_first = best_first(point_pool(self._config, study, trial), self._sizes)
        yield from (point for point in self._best_first if not tried.trains(point.trial))


def best_first(points: Sequence[Point], sizes: Sizes) -> list[Point]:
    """Sort points of a space in the order of `diversified`."""
    rows = np.array([features(point.trial, sizes) for point in points])
    costs = np.array([log_cost(point.trial) for point in points])
    rated = merit(load_shipped().predict(rows), costs)
    kinds = [(point.trial.backbone, depth_step(trained_share(point.trial))) for point in points]
    return [replace(points[number], by_prior=True) for number in diversified(rated, kinds)]


def depth_step(share: float) -> int:
    """Return 0 for a frozen backbone, otherwise which quarter its share of trained layers is in."""
    return math.ceil(4 * share - 1e-9)


def diversified(merits: Floats, kinds: Sequence[Hashable]) -> list[int]:
    """Return the places of points sorted by merit, (n,), the largest first, after the n-th best
    point of each kind has lost log n. Equal points keep their order.

    Of n trials that seem equally good in advance, the last one is the best with probability 1/n.
    """
    seen: Counter[Hashable] = Counter()
    left = np.empty(len(merits))
    for number in np.argsort(-merits, kind="stable"):
        seen[kinds[number]] += 1
        left[number] = merits[number] - math.log(seen[kinds[number]])
    return [int(number) for number in np.argsort(-left, kind="stable")]


def point_pool(
    config: SearchConfig, study: optuna.Study, trial: optuna.trial.FrozenTrial
) -> list[Point]:
    """Draw points uniformly from a space: the same ones for every driver of a study."""
    uniform = optuna.samplers.RandomSampler(seed=config.seed)
    ask = partial(uniform.sample_independent, study, trial)
    return [build_point(config, ask) for _ in range(POOL)]


def has_turn(number: int) -> bool:
    """Return whether the prior, and not the sampler, proposes trial `number`, counted from 0.

    The prior proposes the first `FIRST` trials, then a share of `FIRST` / 2 / number of them: the
    more trials there are on these images, the more they count. The prior's share tends to 0, so
    that a search which the prior misleads converges to one without it. Until 2 * `FIRST` trials
    have ended, the sampler draws uniformly: from the prior's trials alone, TPE would only learn
    where the prior has been.
    """
    if number < FIRST:
        return True
    half = FIRST / 2
    return math.floor(half * math.log(number + 1)) > math.floor(half * math.log(number))

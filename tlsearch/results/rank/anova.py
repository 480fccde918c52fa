"""Functional ANOVA on a forest of trees: the share of a score's variance per factor."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

ROUNDS = 50  # bootstrap samples of the trials, one tree each
LEAST_LEAF = 3  # trials in a leaf, at least
MOST_LEAVES = 50  # leaves per tree, at most: bounds the time for a thousand trials
INTERVAL = (5.0, 95.0)  # percentiles of the rounds
ROUNDS_ABOVE_CHANCE = 0.9  # share of the rounds in which a factor must beat random numbers
UNUSED = -1.0  # the coordinate of a factor that a trial does not use

Array = NDArray[np.floating]


@dataclass(frozen=True)
class Design:
    """Trials as points of a search space in which every factor is uniform on 0 to 1.

    `points` has shape (trials, factors). Each of K choices lies in the middle of its own Kth of the
    axis. The factor `switch` decides which other factors a trial uses: factors that `sides` maps to
    0 are used only below `border`, factors that it maps to 1 only above. A factor that a trial does
    not use has the coordinate `UNUSED`.
    """

    points: Array
    switch: int | None = None
    border: float = 0.0
    sides: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Explained:
    """The variance that a forest explains, per factor; arrays have shape (factors,).

    `shares` are the shares of the variance that a factor alone explains, `low` and `high` the ends
    of their 90 % intervals, `above_chance` whether a factor explains more than chance. `out_of_bag`
    is the share of the variance (R²) that trees predict on trials to which they were not fitted; it
    is 0 or less if the forest has learned nothing.
    """

    shares: Array
    low: Array
    high: Array
    above_chance: Array
    out_of_bag: float


def explain_variance(design: Design, scores: Array) -> Explained:
    """Return the variance that each factor explains, by functional ANOVA.

    The method is that of Hutter, Hoos and Leyton-Brown (2014, ICML, "An Efficient Approach for
    Assessing Hyperparameter Importance"). A tree's marginals are computed exactly from the boxes of
    its leaves. The variance of a marginal is divided by the variance of the score, between leaves
    plus within leaves. Each round fits a tree to a bootstrap sample of the trials, with one more
    factor of random numbers. A factor explains more than chance if it explains more than the random
    numbers in nine of ten rounds (Kursa and Rudnicki 2010, Journal of Statistical Software 36(11),
    compare features with such shadows).
    """
    rng, count = np.random.default_rng(0), len(scores)
    predicted, seen = np.zeros(count), np.zeros(count)
    rounds = []
    for _ in range(ROUNDS):
        drawn = rng.integers(0, count, count)
        points = np.column_stack([design.points, rng.random(count)]).astype(np.float32)
        tree = _fit_tree(points[drawn], scores[drawn], rng)
        rounds.append(_Boxes.of(tree).shares(design))
        unseen = np.setdiff1d(np.arange(count), drawn)
        if len(unseen):
            predicted[unseen] += tree.predict(points[unseen])[:, 0]
            seen[unseen] += 1
    every = np.array(rounds)
    real, chance = every[:, :-1], every[:, -1:]
    low, high = np.percentile(real, INTERVAL, axis=0)
    above = (real > chance).mean(axis=0) >= ROUNDS_ABOVE_CHANCE
    return Explained(real.mean(axis=0), low, high, above, _out_of_bag_r2(scores, predicted, seen))


def _fit_tree(points: Array, scores: Array, rng: np.random.Generator) -> Any:
    """Fit a scikit-learn tree to float32 `points`; ties between splits are broken at random."""
    from sklearn.tree import DecisionTreeRegressor

    tree = DecisionTreeRegressor(
        min_samples_leaf=LEAST_LEAF,
        max_leaf_nodes=MOST_LEAVES,
        random_state=int(rng.integers(2**31)),
    )
    return tree.fit(points, scores, check_input=False).tree_


def _out_of_bag_r2(scores: Array, predicted: Array, seen: Array) -> float:
    """Return R² of out-of-bag predictions.

    Per trial, `predicted` is their sum and `seen` their number.
    """
    some = seen > 0
    known, spread = scores[some], ((scores[some] - scores[some].mean()) ** 2).sum()
    if spread == 0:
        return 0.0
    return float(1 - ((known - predicted[some] / seen[some]) ** 2).sum() / spread)


class _Side(NamedTuple):
    """One side of the switch.

    `weight` is its probability, `least` to `most` the switch's range there. `mass` is the share of
    each factor's distribution on this side that lies in each leaf, (leaves, factors).
    """

    weight: float
    least: float
    most: float
    mass: Array


@dataclass(frozen=True)
class _Boxes:
    """The leaves of a tree as boxes.

    `low` and `high` bound the boxes (low, high], (leaves, factors). `value` is the mean score of a
    leaf's trials and `within` the variance of their scores, (leaves,).
    """

    low: Array
    high: Array
    value: Array
    within: Array

    @classmethod
    def of(cls, tree: Any) -> "_Boxes":
        """Return the boxes of a scikit-learn tree, in which parents come before their children."""
        shape = tree.node_count, tree.n_features
        low, high = np.full(shape, -np.inf), np.full(shape, np.inf)
        for node in np.flatnonzero(tree.children_left >= 0):
            left, right = tree.children_left[node], tree.children_right[node]
            factor, border = tree.feature[node], tree.threshold[node]
            low[[left, right]], high[[left, right]] = low[node], high[node]
            high[left, factor] = low[right, factor] = border
        leaf = tree.children_left < 0
        return cls(low[leaf], high[leaf], tree.value[leaf, 0, 0], tree.impurity[leaf])

    def shares(self, design: Design) -> Array:
        """Return the share of the variance that each factor explains alone, (factors,).

        The space is a mixture of the two sides of the switch. The switch and the factors that all
        trials use count with their main effect over the whole space. A factor that only one side
        uses counts with its variance on that side, times the probability of the side. This is its
        main effect plus its interaction with the switch; the two cannot be separated, because the
        factor has no effect on the other side. All shares are therefore shares of the same
        variance: they can be compared, and no variance counts twice.
        """
        sides = self._sides(design)
        whole = [side.mass.prod(axis=1) for side in sides]
        mass = sum(side.weight * one for side, one in zip(sides, whole, strict=True))
        mean = mass @ self.value
        variance = mass @ (self.value**2 + self.within) - mean**2
        if variance <= 1e-12 * max(1.0, mean**2):
            return np.zeros(self.low.shape[1])
        effects = []
        for factor in range(self.low.shape[1]):
            own = design.sides.get(factor)
            if own is None or design.switch is None:
                marginal = self._marginal(factor, sides, factor == design.switch)
                effects.append(marginal - mean**2)
            else:
                marginal = self._marginal(factor, [sides[own]._replace(weight=1.0)], False)
                effects.append(sides[own].weight * (marginal - (whole[own] @ self.value) ** 2))
        shares: Array = np.maximum(effects, 0) / variance
        return shares

    def _sides(self, design: Design) -> list[_Side]:
        """Return the two sides of the switch, or the whole space if there is no switch."""
        width = np.clip(self.high, 0, 1) - np.clip(self.low, 0, 1)
        if design.switch is None:
            return [_Side(1.0, 0.0, 1.0, width)]
        at, found = design.switch, []
        for side, (least, most) in enumerate(((0.0, design.border), (design.border, 1.0))):
            mass, weight = width.copy(), most - least
            low, high = (np.clip(ends[:, at], least, most) for ends in (self.low, self.high))
            mass[:, at] = (high - low) / weight
            for factor in (one for one, used in design.sides.items() if used != side):
                holds = (self.low[:, factor] < UNUSED) & (self.high[:, factor] >= UNUSED)
                mass[:, factor] = holds
            found.append(_Side(weight, least, most, mass))
        return found

    def _marginal(self, factor: int, sides: Sequence[_Side], switch: bool) -> float:
        """Return the mean square of the tree's marginal over one factor, others averaged out.

        If the factor is the `switch`, each of its values belongs to one side only.
        """
        borders = np.array([0.0, 1.0, *(side.most for side in sides)])
        inner = np.concatenate([self.low[:, factor], self.high[:, factor], borders])
        edges: Array = np.unique(np.clip(inner, 0, 1))
        width, middle = np.diff(edges), (edges[1:] + edges[:-1]) / 2
        inside = (self.low[:, factor, None] < middle) & (middle <= self.high[:, factor, None])
        found = np.zeros(len(middle))
        for side in sides:
            others = side.mass[:, np.arange(side.mass.shape[1]) != factor].prod(axis=1)
            here = (side.least < middle) & (middle < side.most) if switch else side.weight
            found += here * ((others * self.value) @ inside)
        return float(found**2 @ width)

"""How much of a score's variance each factor explains: functional ANOVA on a forest of trees."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

ROUNDS = 50  # bootstraps of the trials, a tree each
LEAST_LEAF = 3  # trials in a leaf
MOST_LEAVES = 50  # of a tree, which bounds the time for a thousand trials
INTERVAL = (5.0, 95.0)  # percentiles of the rounds
ROUNDS_ABOVE_CHANCE = 0.9  # share of the rounds in which a factor explains more than random numbers
UNUSED = -1.0  # where a trial does not use a factor

Array = NDArray[np.floating]


@dataclass(frozen=True)
class Design:
    """Trials as points of a search space in which every factor is uniform on 0 to 1.

    `points`: (trials, factors); a choice of K lies in the middle of its Kth of the axis. The factor
    `switch` decides which others a trial uses: those that `sides` maps to 0 only below `border`,
    those that it maps to 1 only above; a trial has `UNUSED` where it does not use a factor.
    """

    points: Array
    switch: int | None = None
    border: float = 0.0
    sides: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Explained:
    """What a forest found, factor by factor, (factors,) each: the share of the variance that the
    factor alone explains, the ends of its 90 % interval, and whether it explains more than chance.

    `out_of_bag` is the share of the variance of trials that a tree was not fitted to which the
    forest predicts; it is 0 or less where the forest has learned nothing.
    """

    shares: Array
    low: Array
    high: Array
    above_chance: Array
    out_of_bag: float


def explain_variance(design: Design, scores: Array) -> Explained:
    """The variance that each factor explains, by the functional ANOVA of Hutter, Hoos and
    Leyton-Brown (2014, ICML, "An Efficient Approach for Assessing Hyperparameter Importance").

    The marginal of a tree over its leaves' boxes is exact. Its variance is divided by the variance
    of the score: of the leaves' values and within the leaves. Each round is fitted to a bootstrap
    of the trials and to one more factor, random numbers: a factor explains more than chance where
    it explains more than they do in nine of ten rounds (Kursa and Rudnicki 2010, Journal of
    Statistical Software 36(11), compare features with shadows in this way).
    """
    rng, count = np.random.default_rng(0), len(scores)
    told, seen = np.zeros(count), np.zeros(count)
    rounds = []
    for _ in range(ROUNDS):
        drawn = rng.integers(0, count, count)
        points = np.column_stack([design.points, rng.random(count)]).astype(np.float32)
        tree = _grown(points[drawn], scores[drawn], rng)
        rounds.append(_Boxes.of(tree).shares(design))
        unseen = np.setdiff1d(np.arange(count), drawn)
        if len(unseen):
            told[unseen] += tree.predict(points[unseen])[:, 0]
            seen[unseen] += 1
    every = np.array(rounds)
    real, chance = every[:, :-1], every[:, -1:]
    low, high = np.percentile(real, INTERVAL, axis=0)
    above = (real > chance).mean(axis=0) >= ROUNDS_ABOVE_CHANCE
    return Explained(real.mean(axis=0), low, high, above, _predicted(scores, told, seen))


def _grown(points: Array, scores: Array, rng: np.random.Generator) -> Any:
    """A scikit-learn tree fitted to `points`, float32; of equally good splits it takes any."""
    from sklearn.tree import DecisionTreeRegressor

    tree = DecisionTreeRegressor(
        min_samples_leaf=LEAST_LEAF,
        max_leaf_nodes=MOST_LEAVES,
        random_state=int(rng.integers(2**31)),
    )
    return tree.fit(points, scores, check_input=False).tree_


def _predicted(scores: Array, told: Array, seen: Array) -> float:
    """The share of the variance that out-of-bag predictions get right: `told` is their sum."""
    some = seen > 0
    known, spread = scores[some], ((scores[some] - scores[some].mean()) ** 2).sum()
    if spread == 0:
        return 0.0
    return float(1 - ((known - told[some] / seen[some]) ** 2).sum() / spread)


class _Side(NamedTuple):
    """One side of the switch: its probability, the switch's range there, and the share of each
    factor's distribution there that lies in each leaf, (leaves, factors).
    """

    weight: float
    least: float
    most: float
    mass: Array


@dataclass(frozen=True)
class _Boxes:
    """The leaves of a tree: a box (low, high] each, (leaves, factors); the mean of its trials'
    scores and their variance, (leaves,).
    """

    low: Array
    high: Array
    value: Array
    within: Array

    @classmethod
    def of(cls, tree: Any) -> "_Boxes":
        """The boxes of a scikit-learn tree, from its root down: children come after parents."""
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
        """The share of the variance that each factor explains alone, (factors,).

        The space is a mixture of its two sides of the switch. The switch and what all trials use
        have their main effect over the whole space. What one side alone uses counts with its
        variance there, times the probability of the side: that is its main effect together with its
        interaction with the switch, which cannot be told apart since it does nothing elsewhere. So
        all shares are shares of one variance and can be compared, and none counts twice.
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
        """The two sides of the switch, or the whole space where there is none."""
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
        """The mean square of the tree averaged over all factors but one; of the `switch` each side
        has values of its own.
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

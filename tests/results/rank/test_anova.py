"""Laws of the functional ANOVA: it finds the shares of a known function, and none in noise."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tlsearch.results.rank.anova import UNUSED, Design, explain_variance

SEEDS = range(3)


def uniform(rng: np.random.Generator, count: int, choices: int) -> NDArray[Any]:
    return (rng.integers(0, choices, count) + 0.5) / choices


def scaled(values: NDArray[Any], variance: float) -> NDArray[Any]:
    return values / values.std() * variance**0.5


@pytest.mark.parametrize("seed", SEEDS)
def test_shares_are_those_of_a_function_that_is_known(seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = np.column_stack([uniform(rng, 200, 3), rng.random((200, 2)), uniform(rng, 200, 2)])
    parts = (points[:, 0], 0.6), (points[:, 1], 0.3), (rng.normal(size=200), 0.1)
    found = explain_variance(Design(points), sum(scaled(one, share) for one, share in parts))
    assert found.shares == pytest.approx([0.6, 0.3, 0, 0], abs=0.12)
    assert found.above_chance.tolist() == [True, True, False, False]
    assert (found.low <= found.shares).all()
    assert (found.shares <= found.high).all()
    assert found.out_of_bag == pytest.approx(0.85, abs=0.1)


def test_the_share_of_one_strong_choice_lies_in_its_interval() -> None:
    inside = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        points = np.column_stack([uniform(rng, 40, 3), rng.random((40, 3))])
        noise = scaled(rng.normal(size=40), 0.1)
        found = explain_variance(Design(points), scaled(points[:, 0], 0.9) + noise)
        assert found.shares[0] > 5 * found.shares[1:].max()
        inside.append(found.low[0] <= 0.9 <= found.high[0])
    assert sum(inside) >= 5


@pytest.mark.parametrize("count", [12, 60])
def test_noise_explains_no_more_than_random_numbers_do(count: int) -> None:
    claims = 0
    for seed in range(6):
        rng = np.random.default_rng(seed)
        many = [uniform(rng, count, choices) for choices in (2, 3, 10)]
        points = np.column_stack([*many, rng.random((count, 3))])
        found = explain_variance(Design(points), rng.normal(size=count))
        claims += bool(found.out_of_bag > 0 and found.above_chance.any())
    assert claims <= 1


@pytest.mark.parametrize("seed", SEEDS)
def test_what_one_side_alone_uses_counts_by_how_much_of_the_space_that_is(seed: int) -> None:
    rng = np.random.default_rng(seed)
    depth, rates = uniform(rng, 300, 3), rng.random((2, 300))
    frozen = depth < 1 / 3
    score = np.where(frozen, np.sqrt(12 * 3) * (rates[0] - 0.5), 0)  # variance 3 in 1/3: adds 1
    score += np.sqrt(12 * 0.5) * (rng.random(300) - 0.5)  # noise of variance 0.5
    columns = depth, np.where(frozen, rates[0], UNUSED), np.where(frozen, UNUSED, rates[1])
    design = Design(np.column_stack(columns), 0, 1 / 3, {1: 0, 2: 1})
    found = explain_variance(design, score)
    assert found.shares == pytest.approx([0, 1 / 1.5, 0], abs=0.1)
    assert found.above_chance.tolist() == [False, True, False]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_difference_between_the_sides_is_the_switchs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    depth, rates = uniform(rng, 100, 3), rng.random((2, 100))
    frozen = depth < 1 / 3
    columns = depth, np.where(frozen, rates[0], UNUSED), np.where(frozen, UNUSED, rates[1])
    design = Design(np.column_stack(columns), 0, 1 / 3, {1: 0, 2: 1})
    found = explain_variance(design, np.where(frozen, 0.5, 0.9) + rng.normal(0, 0.02, 100))
    assert found.shares == pytest.approx([1, 0, 0], abs=0.1)


def test_equal_scores_have_no_variance_to_explain() -> None:
    points = np.random.default_rng(0).random((20, 2))
    found = explain_variance(Design(points), np.full(20, 0.5))
    assert found.shares.tolist() == [0, 0]
    assert found.out_of_bag == 0

"""Intervals of shares cover the truth as often as stated, by the exact binomial distribution."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from tlsearch.results.rank.interval import least_mean, wilson


def coverage(count: int, truth: float) -> float:
    """Return the exact coverage of the true share by Wilson's interval of `count` images."""
    hits = np.arange(count + 1)
    held = [low <= truth <= high for low, high in (wilson(h / count, count) for h in hits)]
    return float(binom.pmf(hits, count, truth)[held].sum())


@given(st.integers(5, 300), st.floats(0.02, 0.98))
def test_wilson_covers_nearly_always_nearly_95_percent(count: int, truth: float) -> None:
    assert coverage(count, truth) > 0.83  # the minimum, near 0 and 1 with few images


@pytest.mark.parametrize("count", [10, 30, 100, 547])
def test_wilson_covers_95_percent_on_the_average(count: int) -> None:
    found = [coverage(count, truth) for truth in np.linspace(0.005, 0.995, 100)]
    assert 0.94 < np.mean(found) < 0.965


@given(st.integers(1, 1000))
def test_the_mean_of_one_perfect_share_is_that_share(count: int) -> None:
    assert least_mean([count]) == pytest.approx(wilson(1.0, count)[0])


@given(st.lists(st.integers(1, 50), min_size=1, max_size=20))
def test_a_perfect_mean_is_no_surer_than_all_its_images_together(counts: list[int]) -> None:
    assert least_mean(counts) <= wilson(1.0, sum(counts))[0] + 1e-12
    assert least_mean(counts) >= min(wilson(1.0, count)[0] for count in counts) - 1e-12


@pytest.mark.parametrize("counts", [(15, 15), (3,) * 20, (10,) * 10])
def test_shares_that_are_all_perfect_one_time_in_forty_lie_within(counts: tuple[int, ...]) -> None:
    """Check the case of equal true shares and the case of one class that makes all the mistakes."""
    alike = 0.025 ** (1 / sum(counts))
    alone = 1 - (1 - 0.025 ** (1 / min(counts))) / len(counts)
    assert least_mean(counts) <= min(alike, alone)

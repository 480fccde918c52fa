"""Paired tests: exact where they claim to be, symmetric, and of the stated size."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn import metrics as sk

from tlsearch.results.rank.macro import MACRO
from tlsearch.results.rank.mcnemar import mcnemar, mcnemar_worse, paired_p

METRICS = ("accuracy", "balanced_accuracy", "macro_f1")
few = st.integers(0, 400)


@given(few, few)
def test_mcnemar_is_the_exact_binomial_test(b: int, c: int) -> None:
    expected = binomtest(b, b + c).pvalue if b + c else 1.0
    assert mcnemar(b, c) == pytest.approx(expected, rel=1e-9)


@given(few, few)
def test_mcnemar_does_not_mind_which_comes_first(b: int, c: int) -> None:
    assert mcnemar(b, c) == mcnemar(c, b)
    assert 0 < mcnemar(b, c) <= 1


def test_mcnemar_of_many_images_is_still_exact() -> None:
    assert mcnemar(24_600, 25_400) == pytest.approx(binomtest(24_600, 50_000).pvalue, rel=1e-6)
    assert mcnemar(0, 50_000) == 0


@given(st.integers(0, 60), st.integers(0, 60))
def test_one_sided_it_is_the_binomial_test_of_scipy(worse, better):
    both = worse + better
    theirs = binomtest(worse, both, alternative="greater").pvalue if both else 1.0
    assert mcnemar_worse(worse, better) == pytest.approx(theirs)


def test_one_sided_it_sees_the_direction_and_bears_any_count():
    assert mcnemar_worse(0, 0) == 1.0
    assert mcnemar_worse(4, 0) == pytest.approx(0.0625)
    assert mcnemar_worse(5, 0) == pytest.approx(0.03125)
    assert mcnemar_worse(0, 5) == pytest.approx(1)
    assert 0.49 < mcnemar_worse(10_000, 10_000) < 0.51
    assert mcnemar_worse(20_000, 10_000) < 1e-300


def test_eleven_images_that_the_leader_alone_gets_right_tell_it_apart() -> None:
    """511 against 500 of 547: each interval contains the other's value."""
    shown = np.zeros(547, np.uint8)
    leader, other = shown.copy(), shown.copy()
    leader[511:], other[500:] = 1, 1
    assert paired_p("accuracy", shown, leader, other) == pytest.approx(2 * 0.5**11)


def drawn(seed: int, count: int = 60) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    shown = rng.integers(0, 3, count)
    guesses = (np.where(rng.random(count) < 0.7, shown, rng.integers(0, 4, count)) for _ in "ab")
    return [row.astype(np.uint8) for row in (shown, *guesses)]


@pytest.mark.parametrize("metric", METRICS)
@settings(deadline=None, max_examples=5)
@given(seed=st.integers(0, 10**6))
def test_a_paired_test_does_not_mind_which_comes_first(metric: str, seed: int) -> None:
    shown, one, other = drawn(seed)
    found = paired_p(metric, shown, one, other)
    assert found == paired_p(metric, shown, other, one)
    assert 0 < found <= 1
    assert paired_p(metric, shown, one, one) == 1


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 10**6))
def test_swaps_at_random_say_what_mcnemar_says_where_classes_count_alike(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shown = np.repeat([0, 1], 40)
    one, other = (np.where(rng.random(80) < right, shown, 1 - shown) for right in (0.9, 0.75))
    exact = paired_p("accuracy", shown, one, other)
    assert paired_p("balanced_accuracy", shown, one, other) == pytest.approx(exact, abs=0.06)


@pytest.mark.parametrize("metric", METRICS)
def test_two_that_are_equally_good_are_told_apart_in_one_of_twenty_at_most(metric: str) -> None:
    found = [paired_p(metric, *drawn(seed)) for seed in range(60)]
    assert np.mean(np.array(found) < 0.05) < 0.12


@pytest.mark.parametrize("metric", ["auc", "loss"])
def test_predicted_classes_say_nothing_of_probabilities(metric: str) -> None:
    assert paired_p(metric, *drawn(0)) is None


@given(st.integers(0, 10**6), st.sampled_from(sorted(MACRO)))
@settings(deadline=None)
def test_macro_scores_are_those_of_scikit_learn(seed: int, metric: str) -> None:
    shown, called, _ = drawn(seed, 20)
    called[called == 3] = shown[called == 3]  # avoid classes without images: scikit-learn warns
    theirs = {
        "balanced_accuracy": sk.balanced_accuracy_score,
        "macro_f1": lambda *x: sk.f1_score(*x, average="macro"),
    }
    rows = shown, called, shown[shown == called]
    found = MACRO[metric](*(np.bincount(row, minlength=5) for row in rows))
    assert found == pytest.approx(theirs[metric](shown, called))


@pytest.mark.parametrize("metric", METRICS)
def test_fifty_thousand_images_of_a_thousand_classes_are_compared(metric: str) -> None:
    rng = np.random.default_rng(0)
    shown = (np.arange(50_000) % 1000).astype(np.uint16)
    guesses = [np.where(rng.random(50_000) < 0.8, shown, 7).astype(np.uint16) for _ in "ab"]
    assert 0 < paired_p(metric, shown, *guesses) <= 1

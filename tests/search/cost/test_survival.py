"""How many trials train each epoch: no more than the previous one, no fewer with more trials."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlsearch.config.scheduler import Asha, Hyperband, Median, Promotion, Unstopped, rungs_of
from tlsearch.search.cost.survival import survivors, trials_reaching

halving = {"first_rung": st.integers(2, 5), "reduction": st.integers(2, 10)}
schedulers = st.one_of(
    st.builds(Asha, **halving),
    st.builds(Promotion, **halving),
    st.builds(Hyperband, brackets=st.integers(2, 5), **halving),
    st.builds(Median, grace=st.integers(1, 5), min_trials=st.integers(1, 5)),
    st.builds(Unstopped),
)


@given(schedulers, st.integers(1, 40), st.integers(1, 200))
def test_all_begin_and_none_comes_back(scheduler, epochs, trials):
    found = trials_reaching(scheduler, epochs, trials)
    assert len(found) == epochs
    assert found[0] == pytest.approx(trials)
    assert all(a >= b - 1e-9 for a, b in itertools.pairwise(found))
    assert min(found) > 0


@given(schedulers, st.integers(1, 40), st.integers(1, 200))
def test_one_more_trial_trains_no_epoch_less(scheduler, epochs, trials):
    fewer, more = (
        trials_reaching(scheduler, epochs, trials),
        trials_reaching(scheduler, epochs, trials + 1),
    )
    assert all(b >= a - 1e-9 for a, b in zip(fewer, more, strict=True))


@given(st.builds(Asha, **halving), st.integers(1, 40), st.integers(1, 200))
def test_epochs_are_the_sum_over_rungs(scheduler, epochs, trials):
    found = trials_reaching(scheduler, epochs, trials)
    ends = [*rungs_of(scheduler, epochs)]
    ends = ends if ends[-1] == epochs else [*ends, epochs]
    steps = zip(ends, [0, *ends], strict=False)
    assert sum(found) == pytest.approx(sum(found[end - 1] * (end - begin) for end, begin in steps))


@given(st.floats(0, 500), st.integers(2, 10))
def test_a_rung_lets_some_go_on_and_never_more_than_came(trials, reduction):
    promoted, asked = (survivors(trials, reduction, at_once) for at_once in (False, True))
    assert promoted <= asked + 1e-9 <= trials + 2e-9
    assert promoted == pytest.approx(trials / reduction)


def test_survival_is_near_what_the_shipped_searches_did():
    """The counts of trials past the rungs at epochs 2 and 6 come from the files' own tables."""
    quickstart = trials_reaching(Asha(), 18, 16)
    flowers = trials_reaching(Asha(), 9, 20)
    assert math.isclose(quickstart[2], 10, rel_tol=0.5)
    assert math.isclose(quickstart[6], 9, rel_tol=0.5)
    assert math.isclose(flowers[2], 10, rel_tol=0.5)
    assert math.isclose(flowers[6], 7, rel_tol=0.5)


def test_trials_that_nothing_stops_train_to_the_end():
    assert trials_reaching(Unstopped(), 5, 7) == (7.0,) * 5

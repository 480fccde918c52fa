"""The rungs of a scheduler: ascending, within the epochs, and finite in number."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlsearch.config.scheduler import rungs


@given(st.integers(1, 9), st.integers(2, 10), st.integers(0, 300))
def test_rungs_ascend_from_the_first_to_the_last_epoch(first, reduction, epochs):
    found = rungs(first, reduction, epochs)
    assert all(b == a * reduction for a, b in itertools.pairwise(found))
    assert all(0 < rung <= epochs for rung in found)
    assert bool(found) == (epochs > 0)


@pytest.mark.parametrize(
    ("epochs", "expected"), [(0, ()), (1, (1,)), (2, (2,)), (18, (2, 6, 18)), (17, (2, 6))]
)
def test_rungs_of_asha(epochs, expected):
    assert rungs(2, 3, epochs) == expected

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlsearch.config.catalog import Direction
from tlsearch.training.epoch.schedule import FACTOR, gave_up, rate_factor
from tlsearch.training.session import class_weights

pytestmark = pytest.mark.training

losses = st.lists(st.floats(0.01, 10), max_size=12)


@given(st.integers(1, 60))
def test_a_cosine_falls_from_the_whole_rate_towards_nothing(epochs):
    factors = [rate_factor("cosine", epoch, epochs, ()) for epoch in range(1, epochs + 1)]
    assert factors[0] == 1.0
    assert factors == sorted(factors, reverse=True)
    assert factors[-1] > 0


@given(losses)
def test_a_constant_rate_heeds_no_loss(found):
    assert rate_factor("constant", 3, 9, found) == 1.0


@pytest.mark.parametrize(
    ("found", "falls"),
    [
        ([], 0),
        ([1.0, 0.9, 0.8], 0),
        ([1.0, 1.1], 0),
        ([1.0, 1.1, 1.0], 1),
        ([1.0, 1.1, 1.2, 1.3, 1.4], 2),
        ([1.0, 1.1, 0.9, 1.1, 1.2], 1),
    ],
)
def test_a_plateau_of_two_epochs_lowers_the_rate(found, falls):
    assert rate_factor("reduce_on_plateau", len(found) + 1, 20, found) == FACTOR**falls


@given(losses)
def test_a_rate_on_plateaus_never_rises(found):
    factors = [rate_factor("reduce_on_plateau", n, 20, found[:n]) for n in range(len(found))]
    assert factors == sorted(factors, reverse=True)


@pytest.mark.parametrize(
    ("values", "patience", "ends"),
    [
        ([0.5, 0.6, 0.6, 0.6], 2, True),
        ([0.5, 0.6, 0.6, 0.7], 2, False),
        ([0.6, 0.5], 2, False),
        ([0.6, 0.5, 0.5, 0.5], None, False),
    ],
)
def test_patience_is_for_a_better_value(values, patience, ends):
    assert gave_up(values, patience, Direction.MAX) is ends
    assert gave_up([-v for v in values], patience, Direction.MIN) is ends


@given(st.lists(st.integers(0, 4), min_size=1, max_size=60))
def test_balanced_classes_count_alike(drawn):
    labels = np.array(drawn, np.int32)
    weights = class_weights("balanced", labels, 6)
    shares = [weights[labels[labels == c]].sum() for c in np.unique(labels)]
    np.testing.assert_allclose(shares, len(labels) / len(shares), rtol=1e-5)
    assert class_weights("none", labels, 6) is None

"""How many trials fit on which nodes: laws over generated clusters, and launcher configurations."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlsearch.config.dimension import RECORDED
from tlsearch.config.schema import Resources
from tlsearch.search.cluster.capacity import at_a_time, most_trials, on_node, trials_that_fit

NODES = st.lists(
    st.fixed_dictionaries({"CPU": st.integers(0, 64), "GPU": st.integers(0, 8)}), max_size=6
)


def recorded(**asked):
    """Return resources as an older version recorded them, which allowed several GPUs per trial."""
    return Resources.model_validate(asked, context={RECORDED: True})


ASKED = st.builds(
    recorded,
    cpus_per_trial=st.integers(1, 16),
    gpus_per_trial=st.sampled_from([0, 0.1, 0.25, 0.3, 0.4, 0.5, 0.6, 1, 2]),
    max_concurrent=st.one_of(st.just("auto"), st.integers(1, 20)),
)


@given(ASKED, NODES)
def test_what_fits_can_be_placed_and_one_more_cannot(asked, nodes):
    """Compare with placing trials one by one on a node's whole CPUs and one GPU or whole GPUs."""
    assert trials_that_fit(asked, nodes) == sum(placed(asked, node) for node in nodes)


def placed(asked, node):
    cpus, gpus, count = node["CPU"], [1.0] * node["GPU"], 0
    share = asked.gpus_per_trial
    while cpus >= asked.cpus_per_trial:
        whole = max(1, math.ceil(share))
        taken = min(share, 1)
        free = [place for place, left in enumerate(gpus) if left >= taken - 1e-9][:whole]
        if share and len(free) < whole:
            break
        for place in free if share else []:
            gpus[place] -= taken
        cpus, count = cpus - asked.cpus_per_trial, count + 1
    return count


@given(ASKED, NODES, NODES)
def test_a_node_adds_what_fits_on_it_whatever_the_others(asked, one, other):
    assert trials_that_fit(asked, one + other) == trials_that_fit(asked, one) + trials_that_fit(
        asked, other
    )


def test_a_trial_cannot_straddle_two_nodes():
    asked = Resources(cpus_per_trial=4)
    halves = [{"CPU": 2}, {"CPU": 2}, {"CPU": 3}]
    assert trials_that_fit(asked, halves) == 0  # 7 CPUs in total, enough for one trial
    assert trials_that_fit(asked, [*halves, {"CPU": 9}]) == 2


def test_two_thirds_of_two_gpus_are_no_third_trial():
    assert on_node(Resources(gpus_per_trial=0.6), {"CPU": 8, "GPU": 3}) == 3


@given(ASKED, st.integers(0, 50), st.integers(0, 50))
def test_at_least_one_trial_and_at_most_what_was_asked_for(asked, now, grown):
    number = at_a_time(asked, now, grown)
    assert number >= 1
    if asked.max_concurrent != "auto":
        assert number <= asked.max_concurrent
    else:
        assert number in (max(1, now), min(grown, 2 * now))


def test_a_cluster_that_grows_has_room_for_all_in_few_steps():
    steps, now = 0, 0
    while now < 100:
        now, steps = min(100, at_a_time(Resources(), now, 100)), steps + 1
    assert steps == 8


LAUNCHED = {
    "max_workers": 3,
    "head_node_type": "head",
    "available_node_types": {
        "head": {"resources": {"CPU": 32, "GPU": 1}, "max_workers": 0},
        "small": {"resources": {"CPU": 4, "GPU": 1}, "max_workers": 8},
        "large": {"resources": {"CPU": 16, "GPU": 4}, "max_workers": 1},
        "bare": {"resources": {"CPU": 64}},
    },
}


@pytest.mark.parametrize(("asked", "expected"), [({"gpus_per_trial": 1}, 6), ({}, 192)])
def test_an_autoscaler_may_start_so_much_and_no_trial_runs_on_the_head(asked, expected):
    assert most_trials(Resources(**asked), LAUNCHED) == expected


def test_a_cluster_that_was_not_launched_does_not_grow():
    assert most_trials(Resources(), {}) == 0

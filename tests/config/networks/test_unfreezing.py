"""Laws of a depth: what it trains, at which learning rate, and how it is read from a record."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlsearch.config.networks.anatomy import ANATOMIES, Anatomy
from tlsearch.config.networks.unfreezing import Depth
from tlsearch.config.trial_config import TrialConfig

counts = st.integers(0, 900) | st.just("all")
depths = st.builds(Depth, counts)
anatomies = st.sampled_from([*ANATOMIES.values()])


@given(depths, st.integers(1, 800))
def test_a_depth_trains_the_last_of_all_layers(depth: Depth, total: int) -> None:
    first = depth.first_layer(total)
    assert 0 <= first <= total
    assert (first == total) == depth.frozen
    if depth.layers != "all" and depth.layers <= total:
        assert first == total - depth.layers


@given(depths, depths, st.integers(1, 800))
def test_a_lesser_depth_trains_no_more_layers(one: Depth, other: Depth, total: int) -> None:
    assert [one < other, one == other, other < one].count(True) == 1
    if one < other:
        assert one.first_layer(total) >= other.first_layer(total)


@given(anatomies, st.data())
def test_a_depth_in_blocks_is_that_of_their_layers(network: Anatomy, data: st.DataObject) -> None:
    blocks = data.draw(st.integers(0, network.blocks) | st.just("all"))
    depth = network.depth(blocks)
    assert depth == Depth(depth.layers)
    assert hash(depth) == hash(Depth(depth.layers))
    assert (depth.blocks, depth.frozen) == (blocks, blocks == 0)


@given(depths)
def test_a_trial_has_the_rate_and_the_epochs_of_its_depth(depth: Depth) -> None:
    trial = TrialConfig(backbone="strokes", **depth.to_json(), **{depth.rate: 0.5})
    assert trial.depth == Depth.of(json.loads(json.dumps(trial.to_json()))) == depth
    assert (trial.head_lr, trial.fine_tune_lr).count(None) == 1
    assert (trial.head_lr is not None) == trial.frozen == trial.ranks(0)
    assert trial.learning_rate == 0.5
    assert trial.ranks(1)


@given(depths, depths)
def test_a_trial_that_shares_a_prefix_keeps_its_depth(own: Depth, prefix: Depth) -> None:
    trial = TrialConfig(backbone="strokes", **own.to_json()).sharing(prefix)
    assert (trial.depth, trial.prefix_depth) == (own, prefix)
    assert (trial.cut_layers is None) == (prefix == own)


@pytest.mark.parametrize(
    ("config", "label", "frozen"),
    [
        ({"unfrozen_layers": 15}, "15", False),
        ({"unfrozen_layers": 15, "unfrozen_blocks": None}, "15", False),
        ({"unfrozen_layers": 11, "unfrozen_blocks": 1}, "1 block", False),
        ({"unfrozen_layers": None, "unfrozen_blocks": 3}, "3 blocks", False),
        ({"unfrozen_layers": None, "unfrozen_blocks": 0}, "0 blocks", True),
        ({"unfrozen_layers": "all", "unfrozen_blocks": "all"}, "all", False),
        ({"unfrozen_layers": 0}, "0", True),
        ({}, None, False),
    ],
)
def test_a_depth_is_told_as_it_was_requested(
    config: dict[str, Any], label: str | None, frozen: bool
) -> None:
    depth = Depth.of(config)
    assert (depth.label, depth.frozen) == (label, frozen)
    assert depth.rate == ("head_lr" if frozen else "fine_tune_lr")
    assert depth.first_ranked_epoch == (0 if frozen else 1)

"""Laws of depth: what the last layers contain, and which depths train the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlsearch.config.networks.anatomy import ANATOMIES, Anatomy
from tlsearch.config.networks.unfreezing import Depth

SMALL = Anatomy("block", "OWBO WBOwbwO*2 owdoOBO")
anatomies = st.sampled_from([SMALL, *ANATOMIES.values()])


def test_a_network_is_read_as_stem_and_blocks() -> None:
    assert SMALL.letters == "OWBO" + "WBOwbwO" * 2 + "owdoOBO"
    assert SMALL.layers == 25
    assert SMALL.blocks == 3
    assert SMALL.block_layers == (0, 7, 14, 21)


def test_the_last_layers_that_train_come_before_those_that_do_not() -> None:
    assert (SMALL.least(), SMALL.least(batch_norm=True)) == (6, 2)
    assert [SMALL.has_batch_norm(Depth(n)) for n in (0, 1, 2, "all")] == [False, False, True, True]


@pytest.mark.parametrize(
    ("layers", "cut", "alike"),
    [
        (1, 1, (1, 1)),
        (2, 2, (1, 2)),  # a BatchNorm that stays frozen, but a different cut
        (5, 5, (5, 5)),  # a dropout counts like weights
        (6, 7, (6, 6)),
        (7, 7, (6, 6)),
        (23, 23, (21, 23)),
        (24, "all", (24, "all")),
        ("all", "all", (24, "all")),
        (99, 99, (24, "all")),
    ],
)
def test_the_simplest_depth_trains_the_same_behind_the_same_cut(
    layers: int, cut: int, alike: tuple[int, int]
) -> None:
    assert SMALL.simplest(Depth(layers), Depth(cut)) == tuple(map(Depth, alike))


def test_batch_norm_that_trains_counts() -> None:
    for same in (Depth(1), Depth(2)):
        assert SMALL.simplest(same, same, batch_norm=True) == (same, same)


@given(anatomies, st.integers(1, 800), st.integers(0, 100), st.booleans())
def test_the_simplest_is_its_own_simplest(
    network: Anatomy, layers: int, further: int, batch_norm: bool
) -> None:
    given = Depth(layers + further)
    found = network.simplest(Depth(layers), given, batch_norm)
    assert network.simplest(*found, batch_norm) == found
    assert found[1] == Depth("all") or not (found[1] < found[0] or given < found[1])


@pytest.mark.parametrize("name", ANATOMIES)
def test_every_block_trains_something_and_begins_behind_a_cut(name: str) -> None:
    network = ANATOMIES[name]
    assert network.block_layers[1] >= network.least()
    for layers in network.block_layers[1:]:
        assert network.letters[-layers - 1].isupper()

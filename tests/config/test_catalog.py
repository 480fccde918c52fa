"""A contract over every row that a search space can name."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlsearch.config.catalog import BACKBONES, METRICS, OPTIMIZERS
from tlsearch.config.networks.row import Backbone
from tlsearch.config.spelling import did_you_mean

ROWS = pytest.mark.parametrize("row", BACKBONES.values(), ids=lambda row: row.name)


@ROWS
def test_a_backbone_is_whole_and_found_by_its_name(row: Backbone) -> None:
    assert BACKBONES[row.name] is row
    for place in filter(None, (row.build, row.reference)):
        assert re.fullmatch(r"[a-z0-9_.]+:[A-Za-z0-9_]+", place)
    assert (row.reference is None) == (row.spec is not None)
    assert 28 <= row.min_px <= row.image_px
    assert row.refuses(row.image_px) is None
    assert row.layers > 0
    assert row.parameters < row.multiply_adds
    assert row.licence
    assert row.family
    assert row.published is not None or row.trained_on != "imagenet" or row.spec is not None
    assert row.published is None or (50 < row.published.top1 < 90 and row.published.source)


@ROWS
def test_default_weights_are_the_shipped_ones_exactly_where_there_are_some(row: Backbone) -> None:
    path = row.shipped_path
    elsewhere = "imagenet" if row.spec is None else "preset"
    assert row.default_weights == (elsewhere if path is None else "shipped")
    assert path is None or path.name.endswith(".weights.h5")


def test_metrics_and_optimizers_say_all_that_is_asked_of_them() -> None:
    assert METRICS["accuracy"] == "max"
    assert METRICS["loss"] == "min"
    assert set(METRICS.values()) == {"max", "min"}
    assert len(set(OPTIMIZERS)) == len(OPTIMIZERS)


@given(st.sampled_from(sorted({*BACKBONES, *METRICS, *OPTIMIZERS})), st.data())
def test_a_name_with_one_letter_missing_is_answered_with_a_known_one(
    name: str, data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, len(name) - 1))
    known = [*BACKBONES, *METRICS, *OPTIMIZERS]
    answer = did_you_mean(name[:place] + name[place + 1 :], known)
    assert answer in {f"did you mean '{other}'?" for other in known}


def test_a_name_like_no_other_is_answered_with_all() -> None:
    assert did_you_mean("zzz", ["adam", "sgd"]) == "known: adam, sgd"

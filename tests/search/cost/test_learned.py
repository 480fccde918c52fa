"""A search is expected to deviate from its plan as past searches did."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlsearch.config.load import from_mapping
from tlsearch.search.cost import learned
from tlsearch.search.cost.calibration import REMEMBERED
from tlsearch.search.cost.learned import (
    AS_PLANNED,
    MOST,
    Past,
    Ratios,
    expected_ratios,
    kind_of,
    past_searches,
    remember_ratios,
)

ratios = st.floats(0.1, 10)
pasts = st.lists(
    st.builds(Past, st.just("here"), st.sampled_from("ab"), ratios, ratios, ratios, ratios)
)


@pytest.fixture
def config(tmp_path):
    def build(**changes):
        plain = {"data": {"kind": "digits"}, "cache": str(tmp_path)}
        return from_mapping(plain | changes)

    return build


@given(pasts)
def test_what_is_expected_lies_between_the_plan_and_what_came(past):
    found = expected_ratios(past, "a")
    for name in ("start", "trials", "confirm", "export"):
        every = [1.0, *(getattr(one, name) for one in past)]
        assert min(every) * 0.999 <= getattr(found, name) <= max(every) * 1.001


@given(ratios)
def test_a_search_of_the_same_kind_comes_nearly_true_again(ratio):
    found = expected_ratios([Past("here", "a", 1.0, ratio, 1.0, 1.0)], "a").trials
    assert 1 / 1.3 <= found / ratio <= 1.3
    other = expected_ratios([Past("here", "b", 1.0, ratio, 1.0, 1.0)], "a").trials
    assert other == pytest.approx(ratio**0.5)


def test_the_last_searches_are_remembered_by_machine_and_kind(config, tmp_path, monkeypatch):
    assert past_searches(tmp_path, 2) == ()
    assert expected_ratios((), "a") == AS_PLANNED
    for number in range(MOST + 1):
        remember_ratios(tmp_path, config(), 2, Ratios(2.0, 1.0 + number, 1.5, 1.2))
    found = past_searches(tmp_path, 2)
    assert [one.trials for one in found] == [2.0 + number for number in range(MOST)]
    assert {one.kind for one in found} == {kind_of(config(seed=3))}
    assert kind_of(config(trials=3)) != kind_of(config())
    assert past_searches(tmp_path, 1) == ()  # another number of slots counts as another machine
    monkeypatch.setattr(learned, "cpu_name", lambda: "another")
    assert past_searches(tmp_path, 2) == ()


@pytest.mark.parametrize("damaged", [None, {}, "x", [{}], [{"machine": 1, "kind": "a"}]])
def test_a_damaged_memory_is_no_memory(tmp_path, damaged):
    (tmp_path / REMEMBERED).write_text(json.dumps({"searches": damaged}))
    assert past_searches(tmp_path, 2) == ()

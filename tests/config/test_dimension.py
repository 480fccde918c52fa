"""Laws of one dimension: a constant, choices, a range."""

from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from tlsearch.config.dimension import Choices, Range, Units, range_within
from tlsearch.config.networks.unfreezing import Unfrozen
from tlsearch.config.space import Fractions, Space

fractions: TypeAdapter[Any] = TypeAdapter(Fractions)
ends = st.floats(0, 0.9).flatmap(lambda low: st.tuples(st.just(low), st.floats(low + 1e-6, 0.99)))


def why(kind: Any, raw: object) -> str:
    with pytest.raises(ValidationError) as refused:
        TypeAdapter(kind).validate_python(raw)
    return str(refused.value.errors()[0]["msg"])


@given(ends, st.floats(-1, 2))
def test_a_range_admits_what_is_between_its_ends(ends: tuple[float, float], value: float) -> None:
    low, high = ends
    dimension = Range(low=low, high=high)
    assert dimension.admits(value) == (low <= value <= high)
    assert dimension.admits(low)
    assert dimension.admits(high)


@given(st.integers(0, 50), st.integers(1, 9), st.integers(0, 9), st.integers(0, 500))
def test_a_range_with_a_step_admits_its_grid_alone(
    low: int, step: int, steps: int, value: int
) -> None:
    dimension = Range(low=low, high=low + step * (steps + 1), step=step)
    on_grid = value in range(low, low + step * (steps + 1) + 1, step)
    assert dimension.admits(value) == on_grid
    tenths = Range(low=low / 10, high=(low + step * (steps + 1)) / 10, step=step / 10)
    assert not on_grid or tenths.admits(value / 10)


@pytest.mark.parametrize("value", [True, "0.5", None, (), float("nan")])
def test_a_range_admits_only_numbers(value: object) -> None:
    assert not Range(low=0, high=1).admits(value)


@given(st.lists(st.integers(0, 98).map(lambda n: n / 100), min_size=1, unique=True))
def test_a_constant_a_list_and_what_was_dumped_are_read_alike(values: list[float]) -> None:
    dimension = fractions.validate_python(values)
    assert isinstance(dimension, Choices)
    assert dimension.constant == (len(values) == 1)
    assert fractions.validate_python(fractions.dump_python(dimension)) == dimension
    assert all(map(dimension.admits, values))
    assert fractions.validate_python(values[0]) == fractions.validate_python(values[:1])


@given(ends)
def test_a_range_is_read_back_as_written(ends: tuple[float, float]) -> None:
    low, high = ends
    for extra in ({}, {"step": (high - low) / 2}, {"log": True} if low else {}):
        dimension = fractions.validate_python({"low": low, "high": high, **extra})
        assert fractions.validate_python(fractions.dump_python(dimension)) == dimension


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"low": 0.5, "high": 0.5}, "low must be below high, found 0.5 and 0.5"),
        (
            {"low": 0, "high": 1, "log": True},
            "low must be > 0 because log is true, found 0 (try 1e-6)",
        ),
        (
            {"low": 0.1, "high": 1, "log": True, "step": 0.1},
            "step and log cannot be combined: leave one out",
        ),
        ({"low": 0, "high": 1, "step": 2}, "step must fit between low and high, found 2"),
    ],
)
def test_an_impossible_range_says_why(raw: dict[str, Any], message: str) -> None:
    assert why(Range, raw) == f"Value error, {message}"


def test_ranges_stay_where_their_dimension_means_something() -> None:
    whole = Annotated[Range, range_within(1, 4096, True)]
    message = "Value error, found 0 to 8, expected a range within 1 and 4096"
    assert why(whole, {"low": 0, "high": 8}) == message
    for raw in ({"low": 1.5, "high": 8}, {"low": 1, "high": 8, "step": 0.5}):
        assert why(whole, raw) == "Value error, low, high and step must be whole numbers here"
    assert TypeAdapter(whole).validate_python({"low": 1, "high": 9, "step": 2}).admits(3)


@pytest.mark.parametrize(
    ("raw", "units"), [("none", ()), (None, ()), (128, (128,)), ([256, 128], (256, 128))]
)
def test_dense_widths_are_read_as_people_write_them(raw: object, units: tuple[int, ...]) -> None:
    assert TypeAdapter(Units).validate_python(raw) == units


def test_a_list_of_dense_widths_is_a_list_of_choices() -> None:
    assert Space.model_validate({"head_units": ["none", 64, [64, 32]]}).head_units.values == (
        (),
        (64,),
        (64, 32),
    )


@pytest.mark.parametrize("raw", [-1, 1.5, True, "most", None])
def test_unfrozen_layers_are_counted_or_all(raw: object) -> None:
    expected = f"Value error, found {raw!r}, expected a whole number >= 0, or all"
    assert why(Unfrozen, raw) == expected
    assert TypeAdapter(Unfrozen).validate_python("all") == "all"
    assert TypeAdapter(Unfrozen).validate_python(0) == 0


def test_nothing_and_the_same_twice_are_no_choices() -> None:
    assert why(Choices[int], {"values": [1, 1]}) == "Value error, the same choice is listed twice"
    assert "at least 1 item" in why(Choices[int], {"values": []})

"""A search space that is dumped reads back unchanged."""

from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tlsearch.config.catalog import BACKBONES, METRICS, OPTIMIZERS
from tlsearch.config.dimension import Choices
from tlsearch.config.load import dump, from_mapping, parse

DIGITS = "data: {kind: digits, image_px: 48}\n"


def some(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """A constant, or a list of distinct choices."""
    return values | st.lists(values, min_size=1, max_size=3, unique_by=repr)


def ranges(low: float, high: float) -> st.SearchStrategy[Any]:
    numbers = st.floats(low, high, allow_subnormal=False)
    ends = st.lists(numbers, min_size=2, max_size=2, unique=True).map(sorted)
    return ends.flatmap(
        lambda e: st.fixed_dictionaries(
            {"low": st.just(e[0]), "high": st.just(e[1])}, optional={"log": st.booleans()}
        )
    )


rates = st.floats(1e-6, 9)
names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,9}", fullmatch=True)
parts = st.sampled_from([0.1, 0.25, 1, 200])
spaces = st.fixed_dictionaries(
    {},
    optional={
        "backbone": some(
            st.sampled_from(sorted(n for n in BACKBONES if BACKBONES[n].spec is None))
        ),
        "weights": some(names),
        "unfrozen_layers": some(st.integers(12, 99) | st.sampled_from([0, "all"])),
        "head_units": st.lists(st.lists(st.integers(1, 99), max_size=2), min_size=1, max_size=1),
        "dropout": some(st.floats(0, 0.9).map(abs)) | ranges(0.1, 0.9),
        "head_lr": some(rates) | ranges(1e-6, 9),
        "optimizer": some(st.sampled_from(OPTIMIZERS)),
    },
)
schedulers = st.sampled_from(
    ["asha", "hyperband", "median", "promotion", "none"]
) | st.fixed_dictionaries(
    {"kind": st.sampled_from(["asha", "hyperband"]), "first_rung": st.integers(2, 9)}
)
searches = st.fixed_dictionaries(
    {
        "data": st.fixed_dictionaries(
            {"path": names},
            optional={"splits": st.fixed_dictionaries({"validation": parts, "test": parts})},
        )
    },
    optional={
        "name": names,
        "space": spaces,
        "epochs": st.integers(1, 99),
        "scheduler": schedulers,
        "time_budget": st.sampled_from([90, "90s", "1.5h"]),
        "metric": st.sampled_from(sorted(METRICS)),
        "warm_up_lr": rates,
        "resources": st.fixed_dictionaries({"max_concurrent": st.sampled_from(["auto", 2])}),
        "storage": names,
    },
)


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
@given(searches)
@example({"data": {"path": "1e5"}, "name": "0e0", "space": {"weights": ["1e-3", "on", "1:30"]}})
def test_a_search_is_read_back_as_dumped(plain: dict[str, Any]) -> None:
    config = from_mapping(plain)
    assert parse(dump(config)) == config
    assert parse(dump(parse(dump(config)))) == config


def test_blocks_are_read_back_as_dumped() -> None:
    config = parse(f"{DIGITS}space: {{unfrozen_blocks: [0, 3, all]}}")
    assert config.space.unfrozen_layers is None
    assert "unfrozen_layers" not in dump(config)
    assert parse(dump(config)) == config


def test_a_space_without_blocks_is_dumped_as_before() -> None:
    assert "unfrozen_blocks" not in dump(parse(DIGITS))
    assert parse(DIGITS).space.unfrozen_layers == Choices(values=(0,))


def test_a_baseline_is_read_back_as_dumped() -> None:
    space = "space: {head_units: [none, [64, 32]], unfrozen_layers: [0, all]}\n"
    config = parse(f"{DIGITS}{space}baselines: [{{head_units: [64, 32], unfrozen_layers: all}}]")
    assert config.baselines == ({"head_units": (64, 32), "unfrozen_layers": "all"},)
    assert parse(dump(config)) == config

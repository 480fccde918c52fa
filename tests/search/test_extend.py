"""How a study may be extended, and what must stay as it was."""

import hypothesis
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tlsearch.base.errors import ConfigError
from tlsearch.cli.launch import search_commands
from tlsearch.config.load import from_mapping, parse
from tlsearch.config.schema import SearchConfig
from tlsearch.search.extend import (
    MAY_CHANGE,
    NO_CHANGES,
    Extension,
    changes,
    extend_config,
    extension_entry,
    plain_config,
)

CONFIG = parse(
    """
data: {kind: digits}
space: {backbone: [strokes, photos], unfrozen_layers: [0, 15]}
baselines: [{backbone: photos, unfrozen_layers: 0}, {unfrozen_layers: 15}]
trials: 20
time_budget: 10m
"""
).anchored()


def settings(*values: str) -> Extension:
    return Extension(settings=values)


def test_nothing_asked_changes_nothing() -> None:
    assert extend_config(CONFIG, NO_CHANGES, ended=20, spent_s=900) is CONFIG
    assert extend_config(CONFIG, settings("seed=0", "epochs=10")) == CONFIG


@hypothesis.settings(max_examples=20, deadline=None)  # each parses the whole configuration
@given(st.integers(1, 500), st.integers(0, 10))
def test_trials_are_a_number_or_so_many_more(count: int, ended: int) -> None:
    assert extend_config(CONFIG, Extension(trials=f"+{count}"), ended).trials == 20 + count
    if count >= ended:
        assert extend_config(CONFIG, Extension(trials=str(count)), ended).trials == count


@pytest.mark.parametrize(
    ("budget", "spent", "asked", "seconds"),
    [
        (600, 180, "+10m", 1200),  # the remaining time stays
        (600, 640, "+10m", 1240),  # ten minutes from now
        (None, 200, "+90s", 290),
        (600, 180, "30m", 1800),
        (600, 180, "1.5h", 5400),
    ],
)
def test_time_is_a_budget_in_all_or_so_much_more(
    budget: float | None, spent: float, asked: str, seconds: float
) -> None:
    config = CONFIG.model_copy(update={"time_budget": budget})
    assert extend_config(config, Extension(time=asked), 0, spent).time_budget == seconds


@pytest.mark.parametrize("asked", ["", "soon", "+", "-5m", "+0", "null", "[1]"])
def test_a_time_that_is_none_is_refused(asked: str) -> None:
    with pytest.raises(ConfigError, match=r"^--time: "):
        extend_config(CONFIG, Extension(time=asked))


@pytest.mark.parametrize("asked", ["", "many", "+", "-5", "1.5"])
def test_a_number_of_trials_that_is_none_is_refused(asked: str) -> None:
    with pytest.raises(ConfigError, match=r"^--trials: found .*, expected a number of trials"):
        extend_config(CONFIG, Extension(trials=asked))


def test_fewer_trials_than_ended_are_refused() -> None:
    with pytest.raises(ConfigError) as refused:
        extend_config(CONFIG, Extension(trials="3"), ended=5)
    assert str(refused.value) == "--trials: found 3, expected 5 or more: as many have ended"


@pytest.mark.parametrize(
    "setting",
    [
        "space.backbone=[strokes, photos, mobilenet_v2_035]",
        "space.dropout={low: 0, high: 0.5}",
        "time_budget=1h",
        "resources.cpus_per_trial=2",
        "export=[keras, litert]",
        "scheduler=none",
        "cache_gb=3",
        "tensorboard=true",
    ],
)
def test_what_does_not_set_trials_apart_may_change(setting: str) -> None:
    found = extend_config(CONFIG, settings(setting))
    assert list(changes(CONFIG, found)) in (
        [setting.split("=")[0]],
        ["scheduler.kind", "scheduler.first_rung", "scheduler.reduction"],
    )
    assert from_mapping(plain_config(found)) == found


@pytest.mark.parametrize(
    ("setting", "line"),
    [
        ("seed=3", "--set seed: found 3, expected 0 as the study began: trials that share a seed "
         "differ by their configuration alone; start another study for it"),
        ("metric=loss", "--set metric: found 'loss', expected 'accuracy' as the study began: "
         "trials are ranked by one metric; start another study for it"),
        ("epochs=20", "--set epochs: found 20, expected 10 as the study began: trials are compared "
         "after equal epochs; start another study for it"),
        ("data.image_px=64", "--set data.image_px: found 64, expected 224 as the study began: "
         "trials on other images or splits cannot be ranked together; start another study for it"),
    ],
)  # fmt: skip
def test_what_would_set_trials_apart_is_refused_with_the_reason(setting: str, line: str) -> None:
    with pytest.raises(ConfigError) as refused:
        extend_config(CONFIG, settings(setting, "trials=30"))
    assert str(refused.value) == line
    assert refused.value.exit_code == 2


@pytest.mark.parametrize(
    "setting",
    [
        "warm_up_epochs=1",
        "warm_up_lr=0.1",
        "feature_dtype=float32",
        "name=other",
        "baselines=[{unfrozen_layers: 0}]",
        "data.splits.test=0.3",
    ],
)
def test_the_rest_is_refused(setting: str) -> None:
    with pytest.raises(ConfigError, match=r"^--set .*as the study began"):
        extend_config(CONFIG, settings(setting))


def test_all_that_is_refused_is_said_at_once() -> None:
    with pytest.raises(ConfigError) as refused:
        extend_config(CONFIG, settings("seed=3", "epochs=20"))
    assert len(refused.value.problems) == 2


def test_a_key_that_does_not_exist_is_named() -> None:
    with pytest.raises(ConfigError, match=r"--set space\.backbones: .*did you mean 'backbone'"):
        extend_config(CONFIG, settings("space.backbones=strokes"))


def test_baselines_that_a_narrower_space_lacks_are_dropped() -> None:
    found = extend_config(CONFIG, settings("space.backbone=strokes"))
    assert found.baselines == ({"unfrozen_layers": 15},)


def test_a_study_that_began_with_layers_that_train_nothing_goes_on() -> None:
    space = {"backbone": ["strokes"], "unfrozen_layers": [0, 2]}
    old = from_mapping({"data": {"kind": "digits"}, "space": space}, recorded=True)
    assert extend_config(old, Extension(trials="+5", time="5m")).trials == old.trials + 5
    with pytest.raises(ConfigError, match="nothing trains in the last 2 layers of strokes"):
        extend_config(CONFIG, settings("space.unfrozen_layers=[0, 2]"))


def test_an_entry_of_the_history_says_when_and_what() -> None:
    found = extend_config(CONFIG, Extension("+10", "+5m", ("space.backbone=strokes",)), 20, 700)
    entry = extension_entry(CONFIG, found, 20)
    assert entry["after_trials"] == 20
    assert entry["at"].endswith("+00:00")
    assert "optuna" in entry["versions"]
    assert entry["changes"] == {
        "space.backbone": {"from": ["strokes", "photos"], "to": ["strokes"]},
        "baselines": {"from": list(CONFIG.baselines), "to": [{"unfrozen_layers": 15}]},
        "trials": {"from": 20, "to": 30},
        "time_budget": {"from": 600.0, "to": 1000.0},
    }
    assert yaml.safe_load(yaml.safe_dump(entry)) == entry


def test_a_name_that_reads_as_a_number_stays_a_name() -> None:
    config = CONFIG.model_copy(update={"name": "1e5"})
    assert extend_config(config, Extension(trials="+1")).name == "1e5"


@given(st.sampled_from(sorted(SearchConfig.model_fields)))
def test_a_configuration_differs_from_itself_in_nothing(key: str) -> None:
    assert key not in changes(CONFIG, CONFIG)


def test_the_help_of_resume_names_every_key_that_may_change() -> None:
    described = " ".join(str(search_commands.resume.__doc__).split())
    listed = described.partition("finished or not: ")[2].partition(" can be changed")[0]
    assert set(listed.replace(" and ", ", ").split(", ")) == set(MAY_CHANGE)

"""The search space as people write it, in a file and in `--set`."""

from pathlib import Path

import pytest

from tlsearch.config.dimension import Frozen
from tlsearch.config.load import find_space, from_mapping, load, parse, shipped_spaces
from tlsearch.config.scheduler import Asha, Hyperband, Median, Unstopped

DIGITS = "data: {kind: digits, image_px: 48}\n"


@pytest.mark.parametrize("written", ["1e-3", "1E-3", "+1e-03", "0.001", "1.e-3", "1.0e-3"])
def test_a_number_is_a_number_however_it_is_written(written: str) -> None:
    assert parse(f"{DIGITS}space: {{head_lr: {written}}}").space.head_lr.values == (1e-3,)


def test_text_in_quotes_stays_text() -> None:
    assert parse(f"{DIGITS}name: '1e5'").name == "1e5"


@pytest.mark.parametrize(
    ("written", "seconds"), [("90", 90), ("90s", 90), ("20 m", 1200), ("1.5h", 5400), ("'7'", 7)]
)
def test_a_time_budget_is_seconds_however_it_is_written(written: str, seconds: float) -> None:
    assert parse(f"{DIGITS}time_budget: {written}").time_budget == seconds


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("", Asha()),
        ("scheduler: asha", Asha()),
        ("scheduler: {kind: asha, reduction: 4}", Asha(reduction=4)),
        ("scheduler: {kind: hyperband, brackets: 3}", Hyperband(brackets=3)),
        ("scheduler: median", Median()),
        ("scheduler: none", Unstopped()),
    ],
)
def test_a_scheduler_is_a_name_or_a_kind_with_settings(written: str, meant: Frozen) -> None:
    assert parse(f"{DIGITS}{written}").scheduler == meant


def test_a_scheduler_is_set_from_the_command_line() -> None:
    assert parse(DIGITS, settings=["scheduler=none"]).scheduler == Unstopped()
    settings = ["scheduler.kind=median", "scheduler.grace=4"]
    assert parse(f"{DIGITS}scheduler: asha", settings=settings).scheduler == Median(grace=4)


@pytest.mark.parametrize("hundredths", [(33, 56, 11), (34, 55, 11), (70, 15, 15), (80, 10, 10)])
def test_shares_that_add_up_to_one_do_so_in_floating_point(hundredths: tuple[int, ...]) -> None:
    train, validation, test = (part / 100 for part in hundredths)
    splits = {"train": train, "validation": validation, "test": test}
    assert from_mapping({"data": {"path": "x", "splits": splits}}).data.splits.train == train


@pytest.mark.parametrize("name", shipped_spaces())
def test_every_shipped_space_is_valid_by_its_name(name: str) -> None:
    config = load(name)
    assert config.name == name
    assert load(find_space(name)) == config


def test_a_space_without_a_name_is_named_by_its_file(tmp_path: Path) -> None:
    (tmp_path / "pets.yaml").write_text(DIGITS)
    assert load(tmp_path / "pets.yaml").name == "pets"


def test_settings_change_one_key_and_keep_the_rest() -> None:
    text = f"{DIGITS}space:\n  head_lr: {{low: 1e-4, high: 1e-2, log: true}}\ntrials: 3\n"
    changed = ["space.head_lr.low=1e-3", "data.splits.test=0.3", "resources.cpus_per_trial=2"]
    config, old = parse(text, settings=changed), parse(text)
    assert config.space.head_lr == old.space.head_lr.model_copy(update={"low": 1e-3})
    assert config.data.splits == old.data.splits.model_copy(update={"test": 0.3})
    assert (config.resources.cpus_per_trial, config.trials) == (2, 3)


def test_settings_replace_what_has_another_shape() -> None:
    text = f"{DIGITS}space: {{head_lr: {{low: 1e-4, high: 1e-2}}, dropout: 0.2}}"
    config = parse(text, settings=["space.head_lr=[1e-3, 1e-2]", "space.dropout.low=0.1"][:1])
    assert config.space.head_lr.values == (1e-3, 1e-2)
    nested = parse(text, settings=["space.dropout.low=0.1", "space.dropout.high=0.3"])
    assert (nested.space.dropout.low, nested.space.dropout.high) == (0.1, 0.3)
    assert parse(text, settings=["space={dropout: 0.5}"]).space.dropout.values == (0.5,)


def test_the_last_of_equal_settings_counts() -> None:
    assert parse(DIGITS, settings=["trials=3", "trials=4"]).trials == 4


def test_a_value_may_hold_an_equals_sign() -> None:
    assert parse(DIGITS, settings=["data.path=a=b"]).data.path == Path("a=b")


def test_a_setting_mends_a_mistake_of_the_file() -> None:
    assert parse(f"{DIGITS}trials: none", settings=["trials=3"]).trials == 3

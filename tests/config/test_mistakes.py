"""Mistakes in a search space: all are reported at once, each with its line or setting."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tlsearch.base.errors import ConfigError
from tlsearch.config.load import from_mapping, load, parse
from tlsearch.config.schema import SearchConfig

DIGITS = "data: {kind: digits, image_px: 48}\n"
KNOWN = ", ".join(SearchConfig.model_fields)
PART = "expected a share between 0 and 1, a number of images, or rest"


def problems(text: str, *settings: str) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        parse(text, "pets.yaml", settings)
    return list(refused.value.problems)


def test_every_mistake_is_told_at_once_in_the_order_of_the_lines() -> None:
    text = """\
data:
  kind: foldr
  image_px: 4
  splits: {train: 1.0, validation: rest, tset: 3}
space:
  backbone: [mobilenet_v2, mobilnet_v2_035]
  head_lr: {low: 0, high: 0.1, log: true}
  dropout: 2
  unfrozen_layers: [0, -1]
  bach_size: 16
trials: many
trials: 0
metric: acuracy
"""
    assert problems(text) == [
        "pets.yaml:2: data.kind: unknown kind of data 'foldr', did you mean 'folder'?",
        "pets.yaml:3: data.image_px: found 4, expected a number >= 8",
        f"pets.yaml:4: data.splits.train: found 1.0, {PART}",
        "pets.yaml:4: data.splits.tset: unknown key, did you mean 'test'?",
        "pets.yaml:6: space.backbone[1]: unknown backbone 'mobilnet_v2_035', "
        "did you mean 'mobilenet_v2_035'?",
        "pets.yaml:7: space.head_lr: low must be > 0 because log is true, found 0 (try 1e-6)",
        "pets.yaml:8: space.dropout: found 2, expected a number < 1",
        "pets.yaml:9: space.unfrozen_layers[1]: found -1, expected a whole number >= 0, or all",
        "pets.yaml:10: space.bach_size: unknown key, did you mean 'batch_size'?",
        "pets.yaml:12: trials: found 0, expected a number > 0",
        "pets.yaml:12: trials: written twice",
        "pets.yaml:13: metric: unknown metric 'acuracy', did you mean 'accuracy'?",
    ]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("epochs: many", "epochs: found 'many', expected a whole number"),
        ("epochs: 1.5", "epochs: found 1.5, expected a whole number"),
        ("seed: -1", "seed: found -1, expected a number >= 0"),
        ("warm_up_lr: 11", "warm_up_lr: found 11, expected a number <= 10"),
        ("name: 2024", "name: found 2024, expected text (in quotes)"),
        (
            "name: my pets",
            "name: found 'my pets', expected letters, digits, '.', '_' and '-' only: "
            "it names a folder",
        ),
        (
            "time_budget: 20 minutes",
            "time_budget: found '20 minutes', expected seconds, or a time as in 90s, 20m or 1.5h",
        ),
        ("time_budget: 0s", "time_budget: found '0s', expected a number > 0"),
        (
            "scheduler: {kind: asha, frist_rung: 2}",
            "scheduler.frist_rung: unknown key, did you mean 'first_rung'?",
        ),
        (
            "scheduler: {kind: median, reduction: 3}",
            "scheduler.reduction: unknown key, known: kind, grace, min_trials",
        ),
        (
            "scheduler: {kind: asha, reduction: 1}",
            "scheduler.reduction: found 1, expected a number >= 2",
        ),
        (
            "scheduler: hyperbnd",
            "scheduler: unknown scheduler 'hyperbnd', did you mean 'hyperband'?",
        ),
        (
            "scheduler: null",
            "scheduler: found None, expected asha, hyperband, median, promotion, none, "
            "or settings with one of them as kind",
        ),
        (
            "scheduler: {reduction: 3}",
            "scheduler: found {'reduction': 3}, expected asha, hyperband, median, promotion, none, "
            "or settings with one of them as kind",
        ),
        (
            "resources: {max_concurrent: 0}",
            "resources.max_concurrent: found 0, expected a whole number >= 1, or auto",
        ),
        ("export: keras", "export: found 'keras', expected a list"),
        ("export: [onx]", "export[0]: unknown format 'onx', did you mean 'onnx'?"),
        ("storage: 3", "storage: found 3, expected a path"),
        ("space: 3", "space: found 3, expected keys and values"),
        ("space: {dropout: []}", "space.dropout: found [], expected at least one value"),
        ("space: {dropout: [0, 0.0]}", "space.dropout: the same choice is listed twice"),
        ("space: {dropout: {low: 0}}", "space.dropout.high: missing, expected a value"),
        (
            "space: {dropout: {low: 0, high: 0.1, stp: 1}}",
            "space.dropout.stp: unknown key, did you mean 'step'?",
        ),
        (
            "space: {dropout: {low: 0, high: 1}}",
            "space.dropout: found 0 to 1, expected a range within 0 and 0.99",
        ),
        (
            "space: {optimizer: {low: adam, high: sgd}}",
            "space.optimizer: found {'low': 'adam', 'high': 'sgd'}, "
            "expected a value or a list of values",
        ),
        ("space: {head_units: [64, x]}", "space.head_units[1]: found 'x', expected a list"),
        (
            "space: {head_units: [[64, 0]]}",
            "space.head_units[0][1]: found 0, expected a number >= 1",
        ),
        ("baselines: {dropout: 0}", "baselines: found {'dropout': 0}, expected a list"),
        ("baselines: [3]", "baselines[0]: found 3, expected keys and values"),
        ("when: 2001-99-99", "when: found 2001-99-99: month must be in 1..12"),
        ("sklearn: 3", f"sklearn: unknown key, known: {KNOWN}"),
    ],
)
def test_a_mistake_says_where_what_was_found_and_what_is_expected(line: str, problem: str) -> None:
    assert f"pets.yaml:2: {problem}" in problems(DIGITS + line)


@pytest.mark.parametrize("key", ["choices", "range"])
def test_a_key_that_sounds_right_is_named_as_it_was_written(key: str) -> None:
    assert set(problems(f"{DIGITS}space: {{dropout: {{{key}: [0, 0.5]}}}}")) == {
        f"pets.yaml:2: space.dropout.{key}: unknown key, known: low, high, log, step",
        "pets.yaml:2: space.dropout.high: missing, expected a value",
        "pets.yaml:2: space.dropout.low: missing, expected a value",
    }


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ("{}", "data: kind: folder needs path (the folder that holds one folder per class)"),
        ("{kind: tfds}", "data: kind: tfds needs name (for example tf_flowers)"),
        (
            "{kind: csv}",
            "data: kind: csv needs path (a file with the header path,label or path,label,split)",
        ),
        (
            "{kind: cifar}",
            "data: kind: cifar needs path (the unpacked folder cifar-10-batches-py or "
            "cifar-100-python)",
        ),
        (
            "{kind: digits, root: x}",
            "data: kind: digits takes no root, which is the start of the paths in a CSV",
        ),
        (
            "{kind: digits, strict_classes: true}",
            "data: strict_classes needs classes: it states that they are complete",
        ),
        ("{kind: digits, classes: [a]}", "data.classes: found ['a'], expected keys and values"),
        (
            "{kind: digits, classes: {a: [b]}}",
            "data.classes.a: found ['b'], expected text (in quotes)",
        ),
        (
            "{kind: digits, classes: {a: no}}",
            "data.classes.a: found False, expected text (in quotes)",
        ),
        (
            "{kind: digits, use: [trian]}",
            "data.use[0]: found 'trian', expected 'train', 'validation' or 'test'",
        ),
        (
            "{kind: digits, splits: {train: rest, test: rest}}",
            "data.splits: only one split can be 'rest'",
        ),
        (
            "{kind: digits, splits: {train: 0.7, validation: 0.2, test: 0.2}}",
            "data.splits: the shares of train, validation and test add up to more than 1",
        ),
        (
            "{kind: digits, image_px: 16}",
            "data.image_px: found 16, but mobilenet_v2 needs at least 32",
        ),
    ],
)
def test_data_that_cannot_be_says_why(data: str, problem: str) -> None:
    assert problems(f"\ndata: {data}") == [f"pets.yaml:2: {problem}"]


@pytest.mark.parametrize(("name", "least"), [("inception_v3", 75), ("xception", 71)])
def test_pictures_too_small_for_one_of_the_networks_say_why(name: str, least: int) -> None:
    space = f"space: {{backbone: [mobilenet_v2, {name}]}}\n"
    small, enough = (f"data: {{kind: digits, image_px: {px}}}\n" for px in (least - 1, least))
    assert problems(small + space) == [
        f"pets.yaml:1: data.image_px: found {least - 1}, but {name} needs at least {least}"
    ]
    assert parse(enough + space).data.image_px == least


@pytest.mark.parametrize("gpus", ["2", "1.5"])
def test_a_trial_uses_one_gpu_at_most(gpus: str) -> None:
    assert problems(f"{DIGITS}resources: {{gpus_per_trial: {gpus}}}") == [
        f"pets.yaml:2: resources.gpus_per_trial: found {gpus}, expected a share of a GPU, or 1: a "
        "trial uses one GPU at most, and the others would idle"
    ]


def test_a_study_that_began_with_several_gpus_for_a_trial_can_be_opened() -> None:
    values = {"data": {"kind": "digits"}, "resources": {"gpus_per_trial": 2}}
    assert from_mapping(values, recorded=True).resources.gpus_per_trial == 2


def test_a_baseline_outside_the_space_is_named_by_its_line() -> None:
    baselines = "baselines:\n  - {bacbone: x}\n  - {dropout: 0.5,\n     weights: default}\n"
    assert problems("data: {kind: digits, image_px: 31}\n" + baselines) == [
        "pets.yaml:1: data.image_px: found 31, but mobilenet_v2 needs at least 32",
        "pets.yaml:3: baselines[0].bacbone: unknown key 'bacbone', did you mean 'backbone'?",
        "pets.yaml:4: baselines[1].dropout: found 0.5, which is not in space.dropout",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "1: data: missing, expected a value"),
        ("- a", "1: expected keys and values, found list"),
        ("a: 1\nb: c: d", "2: not YAML: mapping values are not allowed"),
        ("a: 1\nb: [", "2: not YAML: "),
        ("a: 1\n\nb: \x07", "3: not YAML: found the character U+0007, expected printable"),
        ("a: &a [*a]", "1: not YAML: nested too deeply, or within itself"),
        ("a: 1\n---\nb: 2", "2: not YAML: but found another document"),
    ],
)
def test_a_text_that_is_not_a_search_space_says_where(text: str, problem: str) -> None:
    (found,) = problems(text)
    assert found.startswith(f"pets.yaml:{problem}")  # the two parsers end it differently


@settings(deadline=None, max_examples=100)
@given(st.text() | st.text("&*!<:-[]{}?|>%'\" \n\tax01.e"))
def test_any_text_is_a_search_space_or_a_list_of_problems(text: str) -> None:
    with pytest.raises(ConfigError) as refused:  # `data` has no default: no noise is valid
        parse(text)
    assert all(problem.startswith("<text>:") for problem in refused.value.problems)


def test_an_unknown_space_is_answered_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        load("quickstrat")
    assert str(refused.value) == (
        "quickstrat: no such file, and no shipped search space has that name "
        "(did you mean 'quickstart'?)"
    )
    with pytest.raises(ConfigError, match=r"no such file.* \(known: .*quickstart"):
        load(tmp_path / "pets.yaml")


def test_a_file_that_is_not_text_says_so(tmp_path: Path) -> None:
    (tmp_path / "cat.png").write_bytes(b"\x89PNG")
    with pytest.raises(ConfigError, match=r"cat.png: cannot be read \('utf-8' codec"):
        load(tmp_path / "cat.png")


@pytest.mark.parametrize(
    ("setting", "problem"),
    [
        ("trials", "--set trials: expected KEY=VALUE, as in space.dropout=0.2"),
        ("=3", "--set =3: expected KEY=VALUE, as in space.dropout=0.2"),
        ("trials=", "--set trials: trials: found None, expected a whole number"),
        ("trials=[", "--set trials:1: not YAML: "),
        ("trials=\x07", "--set trials:1: not YAML: found the character U+0007, expected"),
        ("trials={a: 1, a: 1}", "--set trials:1: a: written twice"),
        ("trails=3", "--set trails: trails: unknown key, did you mean 'trials'?"),
        ("trials.x=3", "--set trials.x: trials: found {'x': 3}, expected a whole number"),
        ("space=3", "--set space: space: found 3, expected keys and values"),
        (
            "space.dropot=0",
            "--set space.dropot: space.dropot: unknown key, did you mean 'dropout'?",
        ),
        (
            "space.dropout.low=0",
            "--set space.dropout.low: space.dropout.high: missing, expected a value",
        ),
        ("data.splits.train=x", f"--set data.splits.train: data.splits.train: found 'x', {PART}"),
    ],
)
def test_a_bad_setting_says_why(setting: str, problem: str) -> None:
    assert any(found.startswith(problem) for found in problems(DIGITS, setting))


def test_all_bad_settings_are_told_beside_the_mistakes_of_the_file() -> None:
    assert problems(f"{DIGITS}epochs: 0", "trials={a: 1, a: 2}", "trials", "sed=1") == [
        "--set sed: sed: unknown key, did you mean 'seed'?",
        "--set trials: expected KEY=VALUE, as in space.dropout=0.2",
        "--set trials: trials: found {'a': 2}, expected a whole number",
        "--set trials:1: a: written twice",
        "pets.yaml:2: epochs: found 0, expected a number > 0",
    ]

"""Malicious or accidentally damaged search spaces give a bounded message and no traceback."""

import random
from pathlib import Path

import pytest

from tlsearch.base import yaml_text
from tlsearch.base.errors import ConfigError
from tlsearch.base.shown_text import escape_controls
from tlsearch.cli.launch.search_commands import validate
from tlsearch.config.load import load, parse, shipped_spaces

DIGITS = "data: {kind: digits, image_px: 48}\n"
BOMB = "a: &a [0,0,0,0,0,0,0,0,0,0]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
BOUND = 60 * 700  # characters of a message: 60 lines of at most 700


def problems(text: str, *settings: str) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        parse(text, "pets.yaml", settings)
    assert len(str(refused.value)) < BOUND
    return list(refused.value.problems)


VALUES = [
    ("trials: !!int ''", "trials: found '': not a value of type int"),
    ("tensorboard: !!bool ''", "tensorboard: found '': not a value of type bool"),
    ("name: !!timestamp x", "name: found x: not a value of type timestamp"),
    ("warm_up_lr: !!float ''", "warm_up_lr: found '': not a value of type float"),
    ("!!float x: 3", "found x: could not convert string to float: 'x'"),
    ("? [a]\n: 3", "expected text as a key"),
    ("resources: {gpus_per_trial: .inf}", "gpus_per_trial: found inf, expected a finite number"),
    ("resources: {gpus_per_trial: .nan}", "gpus_per_trial: found nan, expected a finite number"),
    ("cache_gb: .inf", "cache_gb: found inf, expected a finite number"),
    ("time_budget: .inf", "time_budget: found inf, expected a finite number"),
    ("sync_s: 1e308", "sync_s: found 1e+308, expected a number <= 86400"),
    ("trials: 18446744073709551616", "expected a whole number below 2^63"),
    (f"views: 0x{'f' * 5000}", "views: found 0xfff"),
    (f"trials: {'9' * 5000}", "a number of more than 100 characters"),
    (f"trials: 1{':59' * 200}", "a number of more than 100 characters"),
    ("space: {dropout: {low: 0, high: 0.5, step: 1e-320}}", "expected at most 1e+06 steps"),
    ("cache: ~nouser/x", "cache: found ~nouser/x, but there is no home directory"),
    ("storage: ~nouser/x", "storage: found ~nouser/x, but there is no home directory"),
    ("space: {weights: ~nouser/x}", "weights: found ~nouser/x, but there is no home directory"),
    ("storage: 's3://[::1/x'", "storage: found s3://[::1/x, expected s3://BUCKET/PATH"),
    ("cache: s3://bucket/x", "cache: found s3:/bucket/x, expected a path of this machine"),
    ('name: "\\U00110000"', "not YAML: "),
]


@pytest.mark.parametrize(("line", "problem"), VALUES, ids=[line[:40] for line, _ in VALUES])
def test_a_value_that_nothing_can_hold_is_one_line(line: str, problem: str) -> None:
    (found,) = [one for one in problems(DIGITS + line) if "unknown key" not in one]
    assert found.startswith("pets.yaml:2: ")
    assert problem in found


@pytest.mark.parametrize("setting", ["trials=!!int ''", "cache=~nouser/x", "sync_s=.inf"])
def test_a_setting_that_nothing_can_hold_is_one_line(setting: str) -> None:
    (found,) = problems(DIGITS, setting)
    assert found.startswith(f"--set {setting.partition('=')[0]}")


def test_a_short_text_cannot_stand_for_gigabytes() -> None:
    limit = "not YAML: expected at most 200000 values, with those of aliases"
    assert problems(BOMB) == [f"pets.yaml:6: {limit}"]


def test_a_message_is_bounded_whatever_it_quotes() -> None:
    assert len(problems(f"{DIGITS}name: {'x' * 1_000_000}")[0]) < 700
    many = problems(DIGITS + "".join(f"k{number}: 1\n" for number in range(5000)))
    assert (len(many), many[-1]) == (51, "... and more: correct these first")


def test_a_file_that_never_ends_or_is_too_large_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load("/dev/zero")
    (tmp_path / "large.yaml").write_text("#" * (yaml_text.TEXT_BYTES + 1))
    with pytest.raises(ConfigError, match=r"large.yaml: cannot be read \(expected at most 8 MB"):
        load(tmp_path / "large.yaml")


def test_a_merge_takes_the_keys_that_are_not_written() -> None:
    text = f"""{DIGITS}space:
  head_lr: &rates {{low: 1e-4, high: 1e-2, log: true}}
  fine_tune_lr:
    high: 1e-3
    <<: *rates
"""
    space = parse(text).space
    assert space.fine_tune_lr == space.head_lr.model_copy(update={"high": 1e-3})


def test_of_several_merged_mappings_the_first_counts_and_lines_are_those_of_the_text() -> None:
    text = f"""{DIGITS}baselines:
- &one {{dropout: 0.1}}
- &two {{dropout: 0.2, batch_size: 8}}
- <<: [*one, *two]
space: {{dropout: [0.1, 0.2], batch_size: [8, 16]}}
"""
    assert parse(text).baselines[2] == {"dropout": 0.1, "batch_size": 8}
    assert "pets.yaml:4: baselines[2].batch_size: found 8" in problems(text.replace("[8, ", "["))[1]
    assert "expected a mapping, or a list of mappings" in problems(f"{DIGITS}<<: [3]")[0]


SPICES = [
    *("&a ", "*a", "<<: ", "[", "]", "{", "}", ": ", "- ", "\n", "\t", "!!int ", "!!binary ", "~"),
    *(
        ".inf",
        ".nan",
        "1e-320",
        "1e308",
        "0x1F",
        "-1",
        "0",
        "null",
        "'",
        '"',
        "|\n",
        "#",
        "%",
        "? ",
    ),
    *("\x1b[31m", "\u202e", "\ud800", "\x00", "\u0663", "\u00b2", "é", "s3://[", "!!bool ", "all"),
]


def mutant(text: str, chance: random.Random) -> str:
    """Return the text with a few pieces deleted, doubled or replaced by special characters."""
    for _ in range(chance.randint(1, 4)):
        first, last = sorted(chance.randrange(len(text) + 1) for _ in range(2))
        last = min(last, first + chance.choice([0, 1, 5, 40]))
        piece = chance.choice(["", text[first:last] * 2, chance.choice(SPICES)])
        text = text[:first] + piece + text[last:] or "x"
    return text


def refusal(file: Path) -> str | None:
    """Return why `validate` refuses a file, or None if it prints it; other errors are failures."""
    try:
        validate(str(file))
    except ConfigError as error:
        return str(error)
    return None


def test_hundreds_of_mutants_are_valid_or_refused_with_a_bounded_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chance, refused = random.Random(22), 0
    spaces = [file.read_text(encoding="utf-8") for file in shipped_spaces().values()]
    file = tmp_path / "mutant.yaml"
    for _ in range(300):
        text = mutant(chance.choice(spaces), chance)
        file.write_text(text, encoding="utf-8", errors="surrogatepass")
        message = refusal(file)
        refused += message is not None
        assert message != "", text
        assert len(message or "") < BOUND, text
        assert escape_controls(message or "", keep="\n") == (message or ""), text
    assert 0 < refused < 300
    assert capsys.readouterr().err == ""

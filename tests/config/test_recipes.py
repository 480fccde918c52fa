"""Every shipped search space: its header describes it, and its commands are valid."""

import itertools
import re
import shlex
from pathlib import Path

import pytest

from tlsearch.config.load import load, shipped_spaces

UNRUN = {"foundation"}  # its weights cannot be downloaded in a test
RUN = sorted(set(shipped_spaces()) - {"quickstart", *UNRUN})
RECIPES = [*RUN, *UNRUN]
ROWS = ("Data", "Licence", "Command", "Follows", "Expected")


def header(name: str) -> list[str]:
    """Return the comment at the beginning of a file, without its `#` marks."""
    lines = shipped_spaces()[name].read_text(encoding="utf-8").splitlines()
    return [line[2:] for line in lines[: [*(x.startswith("#") for x in lines), False].index(False)]]


def commands(name: str) -> list[list[str]]:
    """Return every search command in the header, split like a shell does."""
    text = re.sub(r"\\\n\s*", "", "\n".join(header(name)))
    found = [re.search(r"tlsearch run .*", line) for line in text.splitlines()]
    return [shlex.split(match[0]) for match in found if match]


def option(words: list[str], name: str) -> list[str]:
    return [value for key, value in itertools.pairwise(words) if key == name]


def test_the_five_tutorials_ship() -> None:
    fields = {"flowers", "cifar10", "rock_paper_scissors", "potato_leaf", "chest_ct"}
    assert set(RUN) == fields


@pytest.mark.parametrize("name", RECIPES)
def test_a_header_says_what_the_recipe_is(name: str) -> None:
    rows = {line.split()[0] for line in header(name)[1:] if re.match(r"\w", line)}
    assert set(ROWS) <= rows
    preprocessing = r"as the\s+network's\s+weights\s+require"
    assert re.search(preprocessing, "\n".join(header(name)))


@pytest.mark.parametrize("name", sorted(UNRUN))
def test_a_header_says_that_nobody_ran_the_recipe(name: str) -> None:
    assert "NOT RUN YET" in "\n".join(header(name))
    assert "rank  trial" not in "\n".join(header(name))
    assert load(name).baselines[0]["backbone"] in load(name).space.backbone.values


@pytest.mark.parametrize("name", RUN)
def test_a_header_holds_the_table_of_a_real_run(name: str) -> None:
    text = "\n".join(header(name))
    trials = re.findall(r"^ +\d+ +\d+  (?:finished|stopped) +[=.\d-]+", text, re.MULTILINE)
    assert re.search(r"rank  trial  state .*\n +─+", text)
    assert len(trials) >= 4
    assert re.search(r"^ +test \w+ of trial \d+, evaluated once: [\d.]+", text, re.MULTILINE)
    assert re.search(r"\d+ s\s+on\s+2 cores", text)


@pytest.mark.parametrize("name", RECIPES)
def test_every_command_of_a_header_is_understood(name: str) -> None:
    found = commands(name)
    assert found
    for words in found:
        assert words[2] == name
        config = load(name, option(words, "--set"))
        assert config.baselines
        known = {"--set", "--study", "--trials"}
        assert {word for word in words if word.startswith("-")} <= known


@pytest.mark.parametrize("name", RUN)
def test_a_recipe_begins_with_its_tutorial_and_needs_no_weights_but_small_ones(name: str) -> None:
    config = load(name)
    assert config.baselines[0]["backbone"] in config.space.backbone.values
    small = {"mobilenet_v2_035", "mobilenet_v2", "mobilenet"}
    assert set(config.space.backbone.values) <= small
    assert Path(str(config.data.path)).name == config.data.path.name  # no path of one machine

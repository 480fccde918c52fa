"""The READMEs are true: their links work, and the commands and keys in them exist."""

import re
import shlex
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer

from tlsearch.cli.main import app
from tlsearch.cli.read.guides import GUIDES, guide_path
from tlsearch.config.dataset import Data
from tlsearch.config.schema import Resources, SearchConfig
from tlsearch.config.space import Space

ROOT = Path(__file__).parents[1]
PAGES = [
    path
    for path in sorted(ROOT.rglob("*.md"))
    if not {"build", ".venv", ".pytest_cache"} & {*path.relative_to(ROOT).parts}
]
PACKAGE = ROOT / "tlsearch"
REFERENCE = ROOT / "search_spaces" / "README.md"
FILE = re.compile(r"(?<![\w/.])(?:tlsearch|tests|search_spaces)/[\w/.-]*\w")
LINK = re.compile(r"\[[^\]]+\]\(([^)#\s]*)(?:#([\w-]+))?\)")
SHELL = re.compile(r"^```sh[^\n]*\n(.*?)^```", re.S | re.M)
Result = tuple[int, str, str]
PARTS = {"data": Data, "space": Space, "resources": Resources}


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as formed by GitHub."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_to_files_and_headings(page: Path) -> None:
    links = [found for found in LINK.findall(page.read_text()) if "://" not in found[0]]
    targets = [((page.parent / path) if path else page, anchor) for path, anchor in links]
    assert [str(path) for path, _ in targets if not path.exists()] == []
    assert [anchor for path, anchor in targets if anchor and anchor not in anchors(path)] == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_files_named_in_a_readme_exist(page: Path) -> None:
    named = FILE.findall(page.read_text())
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_files_named_in_the_map_of_the_code_exist() -> None:
    named = re.findall(r"`([\w./]+(?:\.py|\.j2|/))`", (PACKAGE / "README.md").read_text())
    assert len(named) > 50
    found = {path for path in named if (ROOT / path).exists() or any(PACKAGE.rglob(path))}
    assert {*named} - found == set()


def test_the_readme_is_short_and_names_every_guide() -> None:
    readme = (ROOT / "README.md").read_text()
    assert len(readme.splitlines()) <= 250
    linked = {(ROOT / path).resolve() for path, _ in LINK.findall(readme) if "://" not in path}
    assert {guide_path(topic).resolve() for topic in GUIDES} <= linked


def commands(page: Path) -> Iterator[list[str]]:
    """Yield every tlsearch command on a page, in blocks and in running text, as words."""
    text = page.read_text()
    lines = [line for block in SHELL.findall(text) for line in block.splitlines()]
    typed = re.findall(r"^\$ (.+)", text, re.M)
    for line in [*lines, *typed, *re.findall(r"`(tlsearch [^`]+)`", text)]:
        for part in re.split(r"&&|[|>&;]|\s#", line):
            words = shlex.split(part) if part.count('"') % 2 == part.count("'") % 2 == 0 else []
            if words and Path(words[0]).name == "tlsearch" and len(words) > 1:
                yield words[1:]


def unknown(words: list[str]) -> list[str]:
    """Return the words of a command line that tlsearch does not know: a command or options."""
    command: Any = typer.main.get_command(app)
    while hasattr(command, "commands"):
        if words[0].startswith("-") or words[0].isupper():
            return []
        if words[0] not in command.commands:
            return words[:1]
        command, words = command.commands[words[0]], words[1:]
        if not words:
            return []
    known = {option for p in command.params for option in (*p.opts, *p.secondary_opts)}
    asked = {word.split("=")[0].strip("[]") for word in words if word.lstrip("[").startswith("--")}
    return sorted(asked - known - {"--help"})


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_and_options_exist(page: Path) -> None:
    assert {" ".join(words): wrong for words in commands(page) if (wrong := unknown(words))} == {}


def test_commands_are_found_in_blocks_and_in_text() -> None:
    found = {words[0] for words in commands(ROOT / "README.md")}
    assert {command.name or command.callback.__name__ for command in app.registered_commands} - {
        "status",  # listed in the row of `submit`
        "stop",
    } <= found | {"help"}
    assert unknown(["reprot", "DIR"]) == ["reprot"]
    assert unknown(["report", "DIR", "--tpo", "5"]) == ["--tpo"]


def described(page: Path) -> set[str]:
    """Return the keys in the first column of a page's tables of keys."""
    rows = re.findall(r"^\| (`[^|]+?) \|", page.read_text(), re.M)
    return {key for row in rows for key in re.findall(r"`([\w.]+)`", row)}


def settable() -> set[str]:
    """Return every key that a search space may have."""
    nested = {f"{part}.{key}" for part, model in PARTS.items() for key in model.model_fields}
    return nested | (set(SearchConfig.model_fields) - set(PARTS))


def test_the_reference_describes_every_key_and_no_other() -> None:
    kinds = {"folder", "csv", "cifar", "tfds", "npz", "digits"}
    assert described(REFERENCE) - kinds == settable()


def test_the_keys_of_the_readme_exist() -> None:
    table = (ROOT / "README.md").read_text().split("## The keys that people change")[1]
    rows = re.findall(r"^\| (`[^|]+?) \|", table.split("\n## ")[0], re.M)
    keys = {key for row in rows for key in re.findall(r"`([\w.]+)`", row)}
    assert keys
    assert keys - settable() - set(PARTS) == set()


@pytest.mark.parametrize("topic", GUIDES)
def test_a_guide_is_printed_as_it_is(topic: str, invoke: Callable[..., Result]) -> None:
    assert invoke("help", topic) == (0, guide_path(topic).read_text(), "")


def test_help_lists_the_guides_and_corrects_a_name(invoke: Callable[..., Result]) -> None:
    code, listed, _ = invoke("help")
    assert code == 0
    assert [line.split()[0] for line in listed.splitlines()[:-1]] == [*GUIDES]
    code, _, message = invoke("help", "clutser")
    assert code == 2
    assert "unknown topic 'clutser', did you mean 'cluster'?" in message

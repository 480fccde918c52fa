"""The measures that code here keeps: short functions, short files, a sentence on each."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import tlsearch

PACKAGE = Path(tlsearch.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
Function = ast.FunctionDef | ast.AsyncFunctionDef


def name(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def public(body: list[ast.stmt]) -> Iterator[Function | ast.ClassDef]:
    """Functions, classes and their methods that others may use."""
    for node in body:
        if isinstance(node, Function | ast.ClassDef) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from public(node.body)


@pytest.mark.parametrize("path", FILES, ids=name)
def test_functions_end_on_the_screen_they_began_on(path: Path) -> None:
    functions = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, Function)]
    long = {n.name: n.end_lineno - n.lineno + 1 for n in functions if n.end_lineno is not None}
    assert {function: lines for function, lines in long.items() if lines > 60} == {}


@pytest.mark.parametrize("path", FILES, ids=name)
def test_a_file_is_one_noun(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 350


@pytest.mark.parametrize("path", [p for p in FILES if p.read_text().strip()], ids=name)
def test_modules_and_what_they_offer_say_what_they_are(path: Path) -> None:
    module = ast.parse(path.read_text())
    assert ast.get_docstring(module), "the module says nothing"
    assert [node.name for node in public(module.body) if not ast.get_docstring(node)] == []

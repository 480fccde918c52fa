"""The measures that code here keeps: short functions, short files, small rooms, one name each."""

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import grimp
import pytest

import tlsearch

PACKAGE = Path(tlsearch.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
MODULES = [path for path in FILES if path.name != "__init__.py"]
ROOMS = sorted({path.parent for path in FILES})
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


@pytest.mark.parametrize("room", ROOMS, ids=name)
def test_a_room_is_seen_at_a_glance(room: Path) -> None:
    assert len([path for path in MODULES if path.parent == room]) <= 14


@pytest.mark.parametrize("room", [room for room in ROOMS if room != PACKAGE], ids=name)
def test_a_room_says_in_three_lines_what_it_holds(room: Path) -> None:
    said = ast.get_docstring(ast.parse((room / "__init__.py").read_text())) or ""
    assert 1 <= len(said.splitlines()) <= 3


def test_no_two_modules_share_a_name() -> None:
    assert shared((path.stem, name(path)) for path in MODULES) == {}


def test_no_two_public_classes_share_a_name() -> None:
    classes = (
        (node.name, name(path))
        for path in FILES
        for node in public(ast.parse(path.read_text()).body)
        if isinstance(node, ast.ClassDef)
    )
    assert shared(classes) == {}


def test_no_module_imports_itself_by_a_detour() -> None:
    graph = grimp.build_graph("tlsearch", cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    TopologicalSorter(imports).prepare()  # CycleError names the modules of a circle


def shared(named: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Names that stand in more than one place, with the places."""
    places = defaultdict(list)
    for own, place in named:
        places[own].append(place)
    return {own: where for own, where in places.items() if len(where) > 1}

"""Limits on the code: short functions, short files, small packages, unique names."""

import ast
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import grimp

import tlsearch

PACKAGE = Path(tlsearch.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
MODULES = [path for path in FILES if path.name != "__init__.py"]
TREES = {path: ast.parse(path.read_text()) for path in FILES}
Function = ast.FunctionDef | ast.AsyncFunctionDef


def name(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def public(body: list[ast.stmt]) -> Iterator[Function | ast.ClassDef]:
    """Yield public functions, and public classes with their public methods."""
    for node in body:
        if isinstance(node, Function | ast.ClassDef) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from public(node.body)


def test_functions_end_on_the_screen_they_began_on() -> None:
    functions = ((path, n) for path in FILES for n in ast.walk(TREES[path]))
    long = {
        f"{name(path)}: {n.name}": lines
        for path, n in functions
        if isinstance(n, Function) and (lines := (n.end_lineno or 0) - n.lineno + 1) > 60
    }
    assert long == {}


def test_a_file_is_one_noun() -> None:
    lines = {name(path): len(path.read_text().splitlines()) for path in FILES}
    assert {path: count for path, count in lines.items() if count > 350} == {}


def test_no_class_overrides_a_concrete_method() -> None:
    classes = [n for path in FILES for n in ast.walk(TREES[path]) if isinstance(n, ast.ClassDef)]
    known = {one.name: one for one in classes}

    def methods(one: ast.ClassDef) -> set[str]:
        own = [n for n in one.body if isinstance(n, Function) and n.name != "__init__"]
        decorated = {n.name: " ".join(map(ast.unparse, n.decorator_list)) for n in own}
        return {name for name, by in decorated.items() if "abstractmethod" not in by}

    def above(one: ast.ClassDef) -> set[str]:
        names = (ast.unparse(base).partition("[")[0] for base in one.bases)
        bases = [known[name] for name in names if name in known]
        return set[str]().union(*(methods(base) | above(base) for base in bases))

    both = {one.name: found for one in classes if (found := methods(one) & above(one))}
    assert both == {}


def test_modules_and_what_they_offer_say_what_they_are() -> None:
    written = {path: tree for path, tree in TREES.items() if tree.body}
    assert [name(path) for path, tree in written.items() if not ast.get_docstring(tree)] == []
    offered = [(path, node) for path, tree in written.items() for node in public(tree.body)]
    silent = [f"{name(path)}: {node.name}" for path, node in offered if not ast.get_docstring(node)]
    assert silent == []


def test_a_room_is_seen_at_a_glance() -> None:
    sizes = Counter(name(path.parent) for path in MODULES)
    assert {room: size for room, size in sizes.items() if size > 14} == {}


def test_a_room_says_in_three_lines_what_it_holds() -> None:
    printed = {
        name(room): ast.get_docstring(TREES[room / "__init__.py"]) or ""
        for room in {path.parent for path in FILES} - {PACKAGE}
    }
    assert {
        room: text for room, text in printed.items() if not 1 <= len(text.splitlines()) <= 3
    } == {}


def test_no_two_modules_share_a_name() -> None:
    assert shared((path.stem, name(path)) for path in MODULES) == {}


def test_no_two_public_classes_share_a_name() -> None:
    classes = (
        (node.name, name(path))
        for path in FILES
        for node in public(TREES[path].body)
        if isinstance(node, ast.ClassDef)
    )
    assert shared(classes) == {}


def test_no_module_imports_itself_by_a_detour() -> None:
    graph = grimp.build_graph("tlsearch", cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    TopologicalSorter(imports).prepare()  # CycleError names the modules of the cycle


def test_tests_use_public_names() -> None:
    imports = (
        (path.name, node)
        for path in sorted(Path(__file__).parent.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tlsearch")
    )
    names = ((file, one.name) for file, node in imports for one in node.names)
    assert [f"{file}: {name}" for file, name in names if name.startswith("_")] == []


def shared(named: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Return the names that occur in more than one place, with the places."""
    places = defaultdict(list)
    for own, place in named:
        places[own].append(place)
    return {own: where for own, where in places.items() if len(where) > 1}

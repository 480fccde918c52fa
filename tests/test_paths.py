"""Every module that is named in a string exists."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import tlsearch

ROOT = Path(__file__).parents[1]
PACKAGE = Path(tlsearch.__file__).parent
SOURCES = sorted([*PACKAGE.rglob("*.py"), *(ROOT / "tests").rglob("*.py")])
MODULE = re.compile(r"tlsearch(?:\.[a-z_]+)+(?::\w+|\.[A-Z]\w*(?:\.\w+)*)?")


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def texts(path: Path) -> Iterator[str]:
    """Yield the words in a module's strings that are dotted paths into the package."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from (word for word in node.value.split() if MODULE.fullmatch(word))


def leads_somewhere(dotted: str) -> bool:
    """Whether a module or a name at its top level exists; nothing is imported."""
    parts = dotted.replace(":", ".").split(".")[1:]
    for depth in range(len(parts), -1, -1):
        file = PACKAGE.joinpath(*parts[:depth])
        for module in (file.with_suffix(".py"), file / "__init__.py"):
            if module.is_file():
                rest = parts[depth:]
                return not rest or rest[0] in top_level(module)
    return False


def top_level(module: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.parse(module.read_text()).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {target.id for target in targets if isinstance(target, ast.Name)}
    return found


def test_modules_named_in_strings_exist() -> None:
    named = {(name(path), text) for path in SOURCES for text in texts(path)}
    assert {(path, text) for path, text in named if not leads_somewhere(text)} == set()


def test_modules_named_in_the_project_file_exist() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    assert [found for found in MODULE.findall(text) if not leads_somewhere(found)] == []


def test_the_search_for_dotted_names_finds_what_it_should() -> None:
    homes = {text for path in SOURCES for text in texts(path)}
    assert {module for module, _ in tlsearch._HOMES.values()} <= homes
    assert {"tlsearch.cli.main", "tlsearch.training.calibrate"} <= homes
    assert any(":" in text for text in homes)  # from the rows of data sources
    assert not leads_somewhere("tlsearch.cli." + "nowhere")
    assert not leads_somewhere("tlsearch.cli.main:" + "nothing")

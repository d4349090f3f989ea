"""The house's rules that no linter holds: sizes, docstrings, and who may read the environment."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SOURCES = REPOSITORY / "src" / "wherry"
MOST_LINES = 600
MOST_STATEMENTS = 40
# A program's entry reads the environment and hands on what it found; nobody else looks.
MAY_READ_ENVIRONMENT = ("cli/", "daemon/__main__.py", "shim/__main__.py")
FLOORS = [
    *("booleans", "errors", "record", "suppress"),
    *"oci wire dockerfile linux wasm core build engine client server cli daemon shim".split(),
]

Function = ast.FunctionDef | ast.AsyncFunctionDef


def python_files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (REPOSITORY / folder).rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(REPOSITORY).as_posix()


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def statements(function: Function) -> int:
    """Statements in the body, those of inner functions too; a docstring is none."""
    count = sum(isinstance(node, ast.stmt) for node in ast.walk(function)) - 1
    return count - (ast.get_docstring(function, clean=False) is not None)


def long_functions(tree: ast.Module) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, Function) and statements(node) > MOST_STATEMENTS:
            yield node.name, statements(node)


def reads_environment(tree: ast.Module) -> Iterator[int]:
    """Lines that touch the process's own environment through the os module."""
    names = ("environ", "environb", "getenv", "putenv", "unsetenv")
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in names and ast.unparse(node.value) == "os":
            yield node.lineno
        if isinstance(node, ast.ImportFrom) and node.module == "os" and {name.name for name in node.names} & set(names):
            yield node.lineno


def test_no_file_is_longer_than_a_reader_can_keep_in_mind() -> None:
    sizes = {
        name_of(path): len(path.read_text(encoding="utf-8").splitlines())
        for path in python_files("src", "tests", "benchmarks", "examples")
    }
    assert len(sizes) > 100
    assert {name: size for name, size in sizes.items() if size > MOST_LINES} == {}


def test_no_function_has_too_many_statements() -> None:
    found = {
        f"{name_of(path)}: {name}": count
        for path in python_files("src", "tests", "benchmarks", "examples")
        for name, count in long_functions(tree_of(path))
    }
    assert found == {}


def test_every_module_says_what_it_holds() -> None:
    silent = [
        name_of(path)
        for path in python_files("src", "benchmarks")
        if ast.get_docstring(tree_of(path)) is None and not (path.name == "__init__.py" and not path.stat().st_size)
    ]
    assert silent == []


@pytest.mark.parametrize("floor", FLOORS)
def test_every_floor_says_what_it_is(floor: str) -> None:
    module = SOURCES / f"{floor}.py"
    path = module if module.exists() else SOURCES / floor / "__init__.py"
    assert ast.get_docstring(tree_of(path))


def test_the_floors_are_all_there_are() -> None:
    folders = {path.parent.name for path in SOURCES.glob("*/__init__.py")}
    modules = {path.stem for path in SOURCES.glob("*.py")} - {"__init__"}
    assert folders | modules == set(FLOORS)


def test_only_the_programs_read_the_environment() -> None:
    found = [
        f"{name_of(path)}:{line}"
        for path in python_files("src")
        if not path.relative_to(SOURCES).as_posix().startswith(MAY_READ_ENVIRONMENT)
        for line in reads_environment(tree_of(path))
    ]
    assert found == []


def test_nothing_is_left_for_later_in_a_comment() -> None:
    words = ("TO" + "DO", "FIX" + "ME", "X" * 3)
    marked = [
        f"{name_of(path)}:{number}"
        for path in python_files("src", "tests", "benchmarks", "examples")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if any(f"{word}:" in line or f"# {word}" in line for word in words)
    ]
    assert marked == []


def test_the_rules_see_what_they_forbid() -> None:
    long = "def f():\n" + "    a = 1\n" * (MOST_STATEMENTS + 1)
    assert list(long_functions(ast.parse(long))) == [("f", MOST_STATEMENTS + 1)]
    assert list(long_functions(ast.parse(long.replace("def f():\n", 'def f():\n    """Doc."""\n', 1)))) != []
    exact = "def f():\n    '''Doc.'''\n" + "    a = 1\n" * MOST_STATEMENTS
    assert list(long_functions(ast.parse(exact))) == []
    nested = "def f():\n    def g():\n" + "        a = 1\n" * MOST_STATEMENTS
    assert [name for name, _ in long_functions(ast.parse(nested))] == ["f"]
    assert list(reads_environment(ast.parse("import os\nx = os.environ['A']\ny = os.getenv('B')\n"))) == [2, 3]
    assert list(reads_environment(ast.parse("from os import environ\n"))) == [1]

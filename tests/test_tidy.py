"""The shape of the code itself (after TigerBeetle's tidy): sizes, opening docstrings, names, leftovers."""

import ast
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 60
NAMES = {"utils", "util", "common", "helpers", "helper", "manager", "base", "misc"}
LEFTOVERS = ("FIX" + "ME", "TO" + "DO", "XX" + "X", "breakpoint(")
RATCHET: dict[str, int] = {}
"""Path → lines that it may still have, where that is more than the cap. Only ever shrinks."""


def _files(*folders: str) -> Iterator[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *folders],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in listed.stdout.splitlines():
        path = ROOT / name
        if name.endswith(".py") and "wire/pb/" not in name and path.exists():
            yield path


def _size_faults(path: Path, tree: ast.Module, lines: int) -> Iterator[str]:
    name = str(path.relative_to(ROOT))
    if lines > max(RATCHET.get(name, 0), FILE_LINES_MAX):
        yield f"{name}: {lines} lines, at most {FILE_LINES_MAX}"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            size = (node.end_lineno or node.lineno) - node.lineno + 1
            if size > FUNCTION_LINES_MAX:
                yield f"{name}:{node.lineno}: {node.name} has {size} lines, at most {FUNCTION_LINES_MAX}"


def test_files_and_functions_are_small() -> None:
    """What makes loved code ugly is the one file into which everything fell: caps, with a list that only shrinks."""
    found = []
    for path in _files("cluster", "chaos", "proto", "examples"):
        text = path.read_text()
        found += _size_faults(path, ast.parse(text), text.count("\n"))

    assert [] == found


def test_every_module_says_what_it_is_for() -> None:
    """A file that cannot say it in its first lines is two files, or none."""
    found = [
        str(path.relative_to(ROOT))
        for path in _files("cluster", "chaos", "tests", "proto", "examples")
        if path.read_text().strip() and ast.get_docstring(ast.parse(path.read_text())) is None
    ]

    assert [] == found


def test_no_room_has_a_name_without_a_meaning() -> None:
    """A file of helpers is where things go that nobody understood."""
    found = [path for path in _files("cluster", "chaos", "tests", "examples") if path.stem in NAMES]

    assert [] == found


def test_nothing_was_left_behind() -> None:
    """Marks of unfinished work belong into issues."""
    found = [
        f"{path.relative_to(ROOT)}: {word}"
        for path in _files("cluster", "chaos", "tests", "examples")
        if path.name != "test_tidy.py"
        for word in LEFTOVERS
        if word in path.read_text()
    ]

    assert [] == found


def test_no_test_asserts_nothing() -> None:
    """A test that cannot fail is a comment."""
    found = []
    for path in _files("tests"):
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
                and node.name.startswith("test_")
                and not any(isinstance(n, ast.Assert | ast.With | ast.AsyncWith | ast.Call) for n in ast.walk(node))
            ):
                found.append(f"{path.relative_to(ROOT)}: {node.name}")  # noqa: PERF401  a comprehension would hide the condition

    assert [] == found

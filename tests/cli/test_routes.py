"""Route files on the command line: checked and tested without a cluster."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cluster.cli.route import command

GOOD = """
[[route]]
name = "orders"
from = { topic = "purchases" }
where = "total > 100"
map = { id = "id", total = "total" }
to = [{ topic = "large" }, { topic = "vast", where = "total > 1000" }]
on_error = { dead_letter = "", retries = 1 }

  [[route.test]]
  name = "small ones stay"
  given = [{ id = 1, total = 99 }, { id = 2, total = 101 }]
  expect = [{ id = 2, total = 101 }]
"""
WRONG = GOOD.replace("total = 101 }]\n  expect", "total = 102 }]\n  expect")
BAD = GOOD.replace('where = "total > 100"', 'where = "lenn(total) > 100"\nmapp = 1')


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """One of each."""
    for name, text in {"good": GOOD, "wrong": WRONG, "bad": BAD}.items():
        (tmp_path / f"{name}.toml").write_text(text)
    (tmp_path / "odd.toml").write_bytes(b"\xff")
    return {name: str(tmp_path / f"{name}.toml") for name in ("good", "wrong", "bad", "odd")}


def run(*arguments: str, color: bool = False) -> Result:
    """`riverrun route …`."""
    return CliRunner().invoke(command, arguments, color=color)


def test_check(files: dict[str, str]) -> None:
    """What is fine is summed up; of what is not everything is said, with its place."""
    found = run("check", files["good"])
    assert 0 == found.exit_code, found.output
    assert "1 route, 1 test, nothing wrong" in found.output
    assert "dead_letter(retries=1" in found.output
    found = run("check", files["good"], files["bad"], files["odd"])
    assert 2 == found.exit_code
    assert f"{files['bad']}:6: route orders: unknown field 'mapp'; did you mean 'map'?" in found.output
    line = f"{files['bad']}:5: route orders, where: there is no function 'lenn'; did you mean 'len'? (column 1)"
    assert f"{line}\n    lenn(total) > 100\n    ^^^^\n" in found.output
    assert "odd.toml: it cannot be read: " in found.output
    assert "1 route, 1 test, nothing wrong" in found.output


def test_test(files: dict[str, str]) -> None:
    """What differs is shown, in colours where there are colours."""
    found = run("test", files["good"])
    assert (0, True) == (found.exit_code, "✓ orders: small ones stay" in found.output)
    found = run("test", files["good"], files["wrong"])
    assert 1 == found.exit_code
    assert (
        f"✗ orders: small ones stay   {files['wrong']}:10\n    record 1\n      - total: 101\n      + total: 102\n"
        in found.output
    )
    assert "1 of 1 test failed" in found.output
    assert "\x1b[31m  - total: 101\x1b[0m\n    \x1b[32m  + total: 102" in run("test", files["wrong"], color=True).output
    found = run("test", files["wrong"], files["bad"])
    assert (2, True) == (found.exit_code, "- total: 101" in found.output)


def test_json(files: dict[str, str]) -> None:
    """For programs, with the same exit codes."""
    found = run("check", "--json", files["good"], files["bad"])
    said = json.loads(found.output)
    assert (2, ["orders"]) == (found.exit_code, [route["name"] for route in said["files"][0]["routes"]])
    assert [(5, "route orders, where"), (6, "route orders")] == [
        (one["line"], one["where"]) for one in said["problems"]
    ]
    found = run("test", "--json", files["wrong"])
    (case,) = json.loads(found.output)["tests"]
    assert (1, False, "small ones stay") == (found.exit_code, case["passed"], case["test"])
    assert ["record 1", "  - total: 101", "  + total: 102"] == case["faults"]


def test_functions() -> None:
    """What a person wants to know who writes an expression."""
    found = run("functions")
    assert 0 == found.exit_code
    assert "round(number, [number])" in found.output
    assert "meta.headers" in found.output
    assert {"name": "len", "form": "len(text or list)"}.items() <= json.loads(run("functions", "--json").output)[
        4
    ].items()


def test_what_is_not_there(tmp_path: Path) -> None:
    """The command line is wrong."""
    assert 2 == run("check", str(tmp_path / "no.toml")).exit_code
    assert 2 == run("test").exit_code

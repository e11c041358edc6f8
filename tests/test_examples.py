"""The examples in docstrings are true. Those of the README run against a real node, in `processes/test_scripts.py`."""

import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for folder in ("cluster", "chaos", "examples")
    for path in (ROOT / folder).rglob("*.py")
    if ">>> " in path.read_text()
)


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    """Each of them runs, and there is at least one."""
    failed, tried = doctest.testmod(importlib.import_module(name))

    assert (0, True) == (failed, tried > 0)


def test_there_are_examples() -> None:
    """Otherwise nothing was looked at."""
    assert {"cluster.client.routing", "cluster.client.positions"} <= set(MODULES)

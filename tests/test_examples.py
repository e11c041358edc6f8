"""The examples in docstrings are true, so is the README's app. What wants a node is in `processes/test_scripts.py`."""

import doctest
import importlib
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from cluster.connectors.registry import Registry
from cluster.processing.routes.reading import load_routes
from cluster.processing.routes.testing import run_tests

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


def test_the_app_of_the_readme(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It does what it says, though its first work crashes."""
    snippets = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    (text,) = (snippet for snippet in snippets if "App(" in snippet)
    (tmp_path / "shop.py").write_text(text)

    runpy.run_path(str(tmp_path / "shop.py"), run_name="__main__")

    said = [f"alice has spent {total}" for total in (120.0, 180.0)]
    assert f"180.0 {said} {['2026-01-01: 60.0', '2026-01-02: 120.0']}\n" == capsys.readouterr().out


def test_the_route_of_the_readme() -> None:
    """Its test passes, and fails readably where it expects something else."""
    snippets = re.findall(r"^```toml\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    (text,) = (snippet for snippet in snippets if "[[route]]" in snippet)
    (outcome,) = run_tests(load_routes(text, "shop.toml", Registry()))
    assert ("keeps large ones", ()) == (outcome.test, outcome.faults)

    wrong = text.replace("total = 120.5, who", "total = 120.4, who")
    (outcome,) = run_tests(load_routes(wrong, "shop.toml", Registry()))
    assert ("record 1", "  - total: 120.4", "  + total: 120.5") == outcome.faults


@pytest.mark.slow
def test_clients_do_not_import_what_apps_need() -> None:
    """Each public name is there when it is asked for, as what it is where it is defined; no other name is."""
    script = """if True:
        import sys, cluster
        assert not [name for name in sys.modules if name.startswith(("cluster.processing", "grpc", "msgspec"))]
        assert set(cluster.__all__) <= set(dir(cluster)) and not hasattr(cluster, "Nobody")
        for name in cluster.__all__:
            getattr(cluster, name)
        from cluster.processing.app import App
        from cluster.processing.processor import ALL
        assert (cluster.App, cluster.ALL) == (App, ALL)
    """
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (0, "") == (done.returncode, done.stderr)

"""What the guarantees page names is there: promises in the READMEs' words, anomalies, workloads, faults, tests."""

import ast
import gc
import re
from pathlib import Path

import pytest

from chaos.nemeses.catalogue import ROLES
from chaos.report.figures import BEGIN, END
from chaos.report.meanings import DEFINITIONS
from chaos.scenarios import SCENARIOS
from chaos.workloads import WORKLOADS

ROOT = Path(__file__).parent.parent.parent.parent
PAGE = ROOT / "chaos" / "GUARANTEES.md"
IN_WORDS_OF = ("README.md", "cluster/README.md", "cluster/connectors/README.md")


def _rows() -> list[list[str]]:
    """Of all tables but the figures: promise, attacked by, judged by."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    lines = (before + rest.partition(END)[2]).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]
    return [row for row in cells if row[0] != "promise"]


def _words_of_the_code() -> set[str]:
    """Every string in chaos/, but for the report's own."""
    found: set[str] = set()
    gc.collect()  # what simulations left must not be collected while a file is parsed: CPython 3.11 then miscounts
    for path in (ROOT / "chaos").rglob("*.py"):
        if "report" not in path.relative_to(ROOT).parts:
            tree = ast.parse(path.read_text())
            found |= {
                node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)
            }
    return found


def _plain(text: str) -> str:
    return " ".join(re.sub(r"[`*]", "", text).split())


def test_the_page_names_nothing_that_is_not_there() -> None:
    """Anomalies in italics; workloads, faults, roles and scenarios as code; tests by their paths."""
    named = {*(name for defined in DEFINITIONS.values() for name in defined), *_words_of_the_code()}
    known = named | set(WORKLOADS) | set(SCENARIOS) | set(ROLES)
    anomalies = [name for _, _, judged in _rows() for name in re.findall(r"(?<!\*)\*([^*]+)\*(?!\*)", judged)]
    words = [word for _, attacked, judged in _rows() for word in re.findall(r"`([^`]+)`", f"{attacked} {judged}")]
    paths = [word for word in words if word.startswith("tests/")]

    assert [] == [name for name in anomalies if name not in known]
    assert [] == [word for word in words if word not in known and word not in paths and not word.startswith("make ")]
    everywhere = re.findall(r"`(tests/[^`]+)`", PAGE.read_text())
    assert [] == [path for path in everywhere if not (ROOT / path).exists()]
    assert 40 < len(anomalies)


def test_every_row_has_its_three_cells() -> None:
    """A promise, what attacks it, who judges it: none is empty."""
    assert [] == [row for row in _rows() if len(row) != 3 or not all(row)]


def test_promises_are_in_their_own_words() -> None:
    """What stands between quotes is said in a README, word for word."""
    said = _plain(" ".join((ROOT / path).read_text() for path in IN_WORDS_OF))
    quoted = [
        part for promise, _, _ in _rows() for quote in re.findall(r'"([^"]+)"', promise) for part in quote.split(" … ")
    ]

    assert [] == [quote for quote in quoted if _plain(quote) not in said]


def test_every_workload_has_a_promise() -> None:
    """A workload that attacks nothing that was promised would be for nothing."""
    attacked = " ".join(attacked for _, attacked, _ in _rows())

    assert [] == [name for name in WORKLOADS if f"`{name}`" not in attacked]


@pytest.mark.parametrize("checker", sorted(DEFINITIONS))
def test_every_anomaly_stands_beside_a_promise(checker: str) -> None:
    """Of each checker: what it looks for is promised somewhere."""
    judged = " ".join(judged for _, _, judged in _rows())

    assert [] == [name for name in DEFINITIONS[checker] if f"*{name}*" not in judged]

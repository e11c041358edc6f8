"""The retailer's programs (`make demo`, `make history`) with little of everything: they compare for themselves."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from examples.retail.three_nodes import processes

pytestmark = [pytest.mark.processes, pytest.mark.slow, pytest.mark.timeout(240)]
ROOT = Path(__file__).parents[2]
PATIENCE_S = 200.0


def run(folder: Path, program: str, *arguments: str) -> str:
    """What it prints; it has to end well, and to leave neither files in the folder nor processes that use it."""
    done = subprocess.run(
        [sys.executable, "-m", program, *arguments],
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert (0, "") == (done.returncode, done.stderr), done.stdout
    assert [] == list(folder.iterdir())
    assert [] == [command for _, _, command in processes() if str(folder) in command]
    return done.stdout


def test_the_demo_comes_to_what_the_file_says(tmp_path: Path) -> None:
    """Processes with user code and routes, and a node, are killed; every total and delivery is that of the rows."""
    said = run(tmp_path, "examples.retail.demo", "--purchases", "6000", "--stream-s", "6", "--partitions", "3")

    assert "killed the process with user code" in said
    assert re.search(r"with routes on node \d .*, with [\d,]*[1-9][\d,]* .* and [\d,]*[1-9][\d,]* to deliver", said), (
        said
    )
    assert "killed node" in said
    assert "lost 0, duplicated 0, reordered per customer 0, changed 0" in said
    equal = [line.split()[0] for line in said.splitlines() if line.endswith("  equal")]
    assert ["stock", "offers", "alerts", "daily-sales", "SQLite", "SQLite", "files", "webhook"] == equal
    assert said.endswith(
        "every purchase is there, once, in order; every total and every delivery is that of the file\n"
    )


def test_a_bounded_job_beside_the_live_app(tmp_path: Path) -> None:
    """It finishes with the totals of what was appended before its end, and the live app is right as well."""
    little = ("--history", "4000", "--rate", "100", "--probes", "20", "--partitions", "3")
    said = run(tmp_path, "examples.retail.history_run", *little)

    for stage in ("inventory.rekey", "inventory", "daily.rekey", "daily"):
        assert any(line.split() == [stage, "finished"] for line in said.splitlines()), said
    assert "live, beside the job" in said
    assert said.endswith("all totals are equal\n")

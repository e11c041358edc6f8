"""The benchmark itself still runs."""

import subprocess
import sys

import pytest

from tests.bench.workload import Values
from tests.servers import require_program


def test_every_value_is_different_and_of_its_size():
    """What was sent could not be told apart otherwise."""
    values = Values(100, 5_000)
    made = set(values)
    assert 5_000 == len(made)
    assert {100} == {len(value) for value in made}


@pytest.mark.long
@pytest.mark.processes
@pytest.mark.timeout(180)
def test_a_small_run_ends_with_its_tables(tmp_path):
    """One round of a fiftieth: everything is written, read back and compared."""
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "tests.bench",
            "--rounds",
            "1",
            "--scale",
            "0.02",
            "--skip-idle",
            "--data-dir",
            str(tmp_path),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
    )
    assert 0 == done.returncode, done.stderr
    assert "of the bare pipeline" in done.stdout
    assert "of reading without a group" in done.stdout


@pytest.mark.slow
@pytest.mark.processes
def test_user_code_comes_to_the_same_everywhere(tmp_path):
    """In plain loops, in the runner and in a child process: a small run compares, and ends with its table."""
    command = [sys.executable, "-m", "tests.bench", "--only-processing", "--rounds", "1", "--scale", "0.02"]
    done = subprocess.run(
        [*command, "--data-dir", str(tmp_path / "bench")], capture_output=True, text=True, check=False, timeout=50
    )
    assert 0 == done.returncode, done.stderr
    assert 2 == done.stdout.count("riverrun, through a child process")
    assert "the node's own part of a record" in done.stdout


@pytest.mark.slow
@pytest.mark.processes
@pytest.mark.timeout(120)
def test_every_change_of_a_table_is_captured_beside_the_raw_stream(tmp_path):
    """A small run on a server and a cluster of its own counts what has come, and ends with its table."""
    require_program("postgres")
    command = [sys.executable, "-m", "tests.bench", "--only-routes", "--rounds", "1", "--scale", "0.1"]
    done = subprocess.run(
        [*command, "--data-dir", str(tmp_path / "bench")], capture_output=True, text=True, check=False, timeout=110
    )
    assert 0 == done.returncode, done.stderr
    for row in ("a route over the same", "raw logical replication (psycopg)", "capture → topic, three nodes"):
        assert row in done.stdout

"""An app on clusters under faults: a few seeds in every test run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent.parent
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_the_first_seeds() -> None:
    """Everything is counted once, whatever fails; and the same seed is the same run."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.processing.swarm", "--seeds", "4"],
        cwd=ROOT,
        env=os.environ | {"PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        timeout=580,
        check=False,
    )

    assert 0 == done.returncode, done.stdout + done.stderr

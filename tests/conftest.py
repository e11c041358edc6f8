"""What all tests share."""

import os
import shutil
import signal
import threading
from pathlib import Path

import pytest

if threading.current_thread() is threading.main_thread():
    # Whoever runs the tests in the background may have Ctrl-C ignored, for them and for all that they start.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--tls`: what the clusters of process tests speak to clients; see `spoken.py`."""
    parser.addoption("--tls", choices=["plain", "tls", "mutual"], default="plain", help="what test clusters speak")


def require_tool(name: str) -> str:
    """The tool's path; where it is missing the test is skipped, visibly, and fails in CI."""
    found = shutil.which(name)
    if found is None:
        if os.environ.get("CI"):
            pytest.fail(f"{name} is missing, and CI must not pass without it")
        pytest.skip(f"{name} is missing")
    return found


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A directory of this test's own."""
    return tmp_path / "data"

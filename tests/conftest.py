"""What all tests share."""

import os
import shutil
from pathlib import Path

import pytest


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

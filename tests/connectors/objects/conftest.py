"""The places that tests of files write to and read from: a directory, a bucket of a real server, and memory."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.servers.s3 import ACCESS_KEY, S3, SECRET_KEY

_count = itertools.count()


@pytest.fixture(scope="module")
def server() -> Iterator[S3]:
    """One for the tests of a module."""
    started = S3()
    started.start()
    yield started
    started.stop()


def s3_options(server: S3, prefix: str) -> dict[str, Any]:
    """Of a place of that prefix."""
    return {
        "url": f"s3://lake/{prefix}",
        "endpoint": server.endpoint,
        "access_key": ACCESS_KEY,
        "secret_key": SECRET_KEY,
        "timeout": "5s",
    }


@pytest.fixture(params=["directory", pytest.param("bucket", marks=pytest.mark.slow)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    """The options of an empty place of each kind."""
    if request.param == "directory":
        return {"url": f"file://{tmp_path}/out"}
    return s3_options(request.getfixturevalue("server"), f"t{next(_count)}/{tmp_path.name}")

"""One Redis for all tests of a module; each has keys of its own."""

from collections.abc import Iterator

import pytest

from tests.servers.redis import RedisServer


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    """Without a password."""
    found = RedisServer()
    found.start()
    try:
        yield found
    finally:
        found.stop()

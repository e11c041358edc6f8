"""One broker for all tests of a module, which does not save what it has: only those that kill it need that."""

from collections.abc import Iterator

import pytest

from tests.servers.mosquitto import MosquittoServer


@pytest.fixture(scope="module")
def broker() -> Iterator[MosquittoServer]:
    """Anybody may do anything there."""
    server = MosquittoServer(saves=False, more="max_packet_size 200000")
    server.start()
    try:
        yield server
    finally:
        server.stop()

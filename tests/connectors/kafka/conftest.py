"""One Kafka for all tests of a module; each has topics of its own."""

from collections.abc import Iterator

import pytest

from tests.servers.kafka import KafkaServer


@pytest.fixture(scope="module")
def server() -> Iterator[KafkaServer]:
    """It runs."""
    found = KafkaServer()
    try:
        found.start()
        yield found
    finally:
        found.stop()

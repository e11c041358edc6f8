"""One server for each module of tests, a database for each test."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack

import pytest

from cluster.connectors.postgres import PostgresSource
from tests.connectors.postgres.following import Followed
from tests.servers.postgres import PostgresServer


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """Started."""
    made = PostgresServer()
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture
def database(server: PostgresServer) -> str:
    """The name of an empty one."""
    return server.new_database()


@pytest.fixture
async def follow(server: PostgresServer, database: str) -> AsyncIterator[Callable[..., Followed]]:
    """Makes a source of this test's database; whatever is still open is closed with the test."""
    async with AsyncExitStack() as end:

        def make(*tables: str, identity: str | None = None, **options: object) -> Followed:
            given = PostgresSource(**({"url": server.url(database), "tables": tables, "heartbeat": "1s"} | options))
            given.check()
            followed = Followed(given, identity or f"test-{database}")
            end.push_async_callback(followed.close)
            return followed

        yield make

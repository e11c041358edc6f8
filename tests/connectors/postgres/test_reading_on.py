"""A source that is asked again after its database was away, as its host does: it reads on, and loses nothing."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import pytest

from cluster.errors import Unreachable
from tests.connectors.postgres.following import PATIENCE_S, Followed, brief
from tests.servers.postgres import PostgresServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]
Follow = Callable[..., Followed]
LOOK_S = 0.05
REPLIED = "SELECT write_lsn IS NOT NULL FROM pg_stat_replication"
BOTH = [("c", {"id": 1, "item": "a"}), ("c", {"id": 2, "item": "b"})]


class Ahead:
    """Reads on and commits nothing, with one and the same source."""

    def __init__(self, followed: Followed) -> None:
        self._source, self._cursor = followed.source, followed.cursor
        self.values: list[Any] = []

    async def read(self) -> None:
        """Once. Unreachable."""
        arrived = await self._source.read(self._cursor)
        self._cursor = arrived.cursor
        self.values += [record.value for record in arrived.records]

    async def upto(self, count: int) -> None:
        """Until so many have come, through whatever is away."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self.values) < count:
                with contextlib.suppress(Unreachable):
                    await self.read()
                await asyncio.sleep(0)


async def told_where_it_is(server: PostgresServer, database: str) -> None:
    """Return when the database has had word of the only stream that it has."""
    with server.connect(database) as db:
        async with asyncio.timeout(PATIENCE_S):
            while db.execute(REPLIED).fetchone() != (True,):  # noqa: ASYNC110  no database tells us
                await asyncio.sleep(LOOK_S)


@pytest.mark.parametrize("way", ["kill", "shut_down"])
async def test_the_same_source_reads_on_when_its_database_is_back(
    server: PostgresServer, database: str, follow: Follow, way: str
) -> None:
    """From the cursor that it gave last; the database keeps what was read ahead and is not committed."""
    with server.connect(database) as db:
        db.execute("CREATE TABLE orders (id int PRIMARY KEY, item text)")
        followed = follow("orders")
        await followed.begin()
        db.execute("INSERT INTO orders VALUES (1, 'a')")
    ahead = Ahead(followed)
    await ahead.upto(1)
    getattr(server, way)()
    for _ in range(3):
        with pytest.raises(Unreachable):  # noqa: PT012  the stream may have something left
            while True:
                await ahead.read()
    server.start()
    with server.connect(database) as db:
        db.execute("INSERT INTO orders VALUES (2, 'b')")
    await ahead.upto(2)
    assert brief(ahead.values) == BOTH
    await told_where_it_is(server, database)
    await followed.reopen()
    assert brief(await followed.values(2)) == BOTH


async def test_a_snapshot_is_read_on_as_well(server: PostgresServer, database: str, follow: Follow) -> None:
    """Each row once, though the database was killed in the middle of them."""
    with server.connect(database) as db:
        db.execute("CREATE TABLE orders (id int PRIMARY KEY, item text)")
        db.execute("INSERT INTO orders SELECT n, 'a' FROM generate_series(1, 3000) n")
    followed = follow("orders")
    ahead = Ahead(followed)
    await ahead.upto(1)
    assert len(ahead.values) < 3000
    server.kill()
    server.start()
    await ahead.upto(3000)
    assert [*range(1, 3001)] == [value["after"]["id"] for value in ahead.values]

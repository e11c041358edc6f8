"""A source as a test has it: read on from what is committed, opened again at will."""

import asyncio
from typing import Any

from cluster.connectors.contract import Arrival, Source
from cluster.connectors.postgres import PostgresSource

PATIENCE_S = 15.0


class Followed:
    """Commits what it reads; `reopen` goes on from there with a new instance."""

    def __init__(self, options: PostgresSource, identity: str) -> None:
        self.options, self.identity = options, identity
        self.cursor: bytes | None = None
        self.source: Source = options.open("", identity)

    async def read(self) -> list[Arrival]:
        """One read, committed; it may have nothing."""
        async with asyncio.timeout(PATIENCE_S):
            arrived = await self.source.read(self.cursor)
        self.cursor = arrived.cursor
        await self.source.committed(self.cursor)
        return list(arrived.records)

    async def records(self, count: int) -> list[Arrival]:
        """So many, and no more than were there to be read with them."""
        found: list[Arrival] = []
        async with asyncio.timeout(PATIENCE_S):
            while len(found) < count:
                found += await self.read()
        return found

    async def values(self, count: int) -> list[Any]:
        """Their values."""
        return [record.value for record in await self.records(count)]

    async def begin(self) -> None:
        """The slot is there, and the stream is open."""
        while not self.streams:
            await self.read()

    @property
    def streams(self) -> bool:
        """The snapshot is over."""
        return getattr(self.source, "_stream", None) is not None

    async def reopen(self) -> None:
        """As after a crash."""
        await self.source.close()
        self.source = self.options.open("", self.identity)

    async def close(self) -> None:
        await self.source.close()


def brief(values: list[Any]) -> list[tuple[str, Any]]:
    """The operation, and the row it left or took."""
    return [(value["op"], value["after"] if value["after"] is not None else value["before"]) for value in values]

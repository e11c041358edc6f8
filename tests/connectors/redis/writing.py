"""What the tests of the Redis sink share: a sink that is closed, a client of their own, deliveries."""

import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

from redis import Redis

from cluster.connectors.contract import Delivery, Position, Sink
from cluster.connectors.redis.options import RedisSink
from tests.servers.redis import RedisServer

LANE = "r/t/0"


def options(server: RedisServer, **more: Any) -> RedisSink:
    """Checked, of that server."""
    found = RedisSink(**{"url": server.url, "timeout": "2s"} | more)
    found.check()
    return found


@contextlib.asynccontextmanager
async def opened(written: RedisSink) -> AsyncIterator[Sink]:
    """Closed at the end."""
    sink = written.open("orders")
    try:
        yield sink
    finally:
        await sink.close()


def deliveries(*values: Any, key: str = "k{n}", begin: int = 0) -> Sequence[Delivery]:
    """Offsets from `begin`, ids of the lane."""
    return [
        Delivery(
            value=value,
            key=key.format(n=n).encode(),
            timestamp_ns=0,
            headers=(),
            offset=begin + n,
            id=f"{LANE}/{begin + n}",
        )
        for n, value in enumerate(values)
    ]


def at(begin: int, end: int, lane: str = LANE) -> Position:
    """Of the lane, from and to these offsets."""
    return Position(lane=lane, begin=begin, end=end)


@contextlib.contextmanager
def asking(server: RedisServer) -> Iterator[Redis]:
    """A client of the test's own."""
    client = Redis(host="127.0.0.1", port=server.port)
    try:
        yield client
    finally:
        client.close()

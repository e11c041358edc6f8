"""Redis and our process killed at random moments: what is there is the truth, once.

With `appendfsync always` Redis acknowledges what is in its file; so SIGKILL, for which the page cache would do, loses
nothing of it.
"""

import json
from collections.abc import Iterator

import pytest

from cluster.connectors.contract import Delivery
from tests.connectors.kills import kill_sink
from tests.connectors.redis.writing import asking, options
from tests.servers.redis import RedisServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
SEED = 23
RECORDS = 2000
POINTS = [5, pytest.param(20, marks=pytest.mark.long)]


@pytest.fixture
def fresh() -> Iterator[RedisServer]:
    """With nothing in it."""
    server = RedisServer()
    server.start()
    try:
        yield server
    finally:
        server.stop()


def deliveries() -> list[Delivery]:
    """Of seven keys, with deletions among them."""
    return [
        Delivery(
            value=None if n % 11 == 3 else {"n": n, "k": f"k{n % 7}"},
            key=b"k%d" % (n % 7),
            timestamp_ns=0,
            headers=(),
            offset=2 * n,
            id=f"r/t/{n}",
        )
        for n in range(RECORDS)
    ]


@pytest.mark.parametrize("points", POINTS)
@pytest.mark.parametrize("mode", ["list", "stream"])
def test_what_is_appended_is_there_once(fresh: RedisServer, mode: str, points: int) -> None:
    """And in order, key by key."""
    given = deliveries()
    written = options(fresh, mode=mode, key="log:{key}")
    kill_sink(written, given, peer=fresh, points=points, seed=SEED, lanes=3, zombies=True)

    with asking(fresh) as client:
        for n in range(7):
            mine = [delivery for delivery in given if delivery.key == b"k%d" % n]
            if mode == "list":
                found = [json.loads(entry) for entry in client.lrange(f"log:k{n}", 0, -1)]
                assert [delivery.value for delivery in mine] == found
            else:
                ids = [entry[b"id"].decode() for _, entry in client.xrange(f"log:k{n}")]
                assert [delivery.id for delivery in mine] == ids


@pytest.mark.parametrize("points", POINTS)
@pytest.mark.parametrize("mode", ["set", "hash"])
def test_the_last_of_each_key_is_there(fresh: RedisServer, mode: str, points: int) -> None:
    """However often it was written."""
    given = deliveries()
    written = options(fresh, mode=mode, key="last:{key}")
    kill_sink(written, given, peer=fresh, points=points, seed=SEED, lanes=3, zombies=True)

    last = {delivery.key: delivery.value for delivery in given}
    with asking(fresh) as client:
        for key, value in last.items():
            name = b"last:" + key
            if mode == "set":
                assert value == json.loads(client.get(name) or "null")
            else:
                expected = value and {b"n": b"%d" % value["n"], b"k": key}
                assert (expected or {}) == client.hgetall(name)

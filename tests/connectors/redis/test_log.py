"""Lists and streams: each record once, with the position beside it, whoever writes and however often."""

from typing import Any

import pytest

from cluster.connectors.redis.options import RedisSink
from cluster.errors import InvalidRoute, RecordRefused, Unreachable
from tests.connectors.redis.writing import asking, at, deliveries, opened, options
from tests.servers.redis import RedisServer

pytestmark = [pytest.mark.slow]


async def test_a_list(server: RedisServer) -> None:
    """In order, the oldest removed where it is too long; the position moves without records, too."""
    async with opened(options(server, mode="list", key="l", length_max=3)) as sink:
        assert await sink.last_position("r/list/0") is None
        assert await sink.write(deliveries({"n": 0}, b"\xff", None), at(0, 3, "r/list/0"))
        assert await sink.write([], at(3, 9, "r/list/0"))
        assert await sink.write(deliveries("x", begin=9), at(9, 10, "r/list/0"))
        assert 10 == await sink.last_position("r/list/0")
    with asking(server) as client:
        assert [b"\xff", b"null", b'"x"'] == client.lrange("l", 0, -1)


async def test_a_stream(server: RedisServer) -> None:
    """Entries with id, key and value; several streams by a field; bounded in pieces."""
    async with opened(options(server, mode="stream", key="s:{region}", length_max=1000)) as sink:
        await sink.write(deliveries({"region": "eu"}, {"region": "us"}, {"region": "eu"}), at(0, 3, "r/stream/0"))
        for n in range(3, 3003, 500):
            batch = deliveries(*[{"region": "x"}] * 500, begin=n)
            await sink.write(batch, at(n, n + 500, "r/stream/0"))
    async with opened(options(server, mode="stream", key="gone")) as sink:
        await sink.write(deliveries(None), at(0, 1, "r/stream/1"))
    with asking(server) as client:
        entry = {b"id": b"r/t/0/0", b"key": b"k0", b"value": b'{"region":"eu"}'}
        assert [entry, entry | {b"id": b"r/t/0/2", b"key": b"k2"}] == [e for _, e in client.xrange("s:eu")]
        assert 1 == client.xlen("s:us")
        assert 1000 <= client.xlen("s:x") < 1200
        assert [{b"id": b"r/t/0/0", b"key": b"k0"}] == [e for _, e in client.xrange("gone")]


async def test_two_writers(server: RedisServer) -> None:
    """Who has been overtaken writes nothing, asks anew, and goes on from there."""
    written = options(server, mode="list", key="two")
    async with opened(written) as first, opened(written) as second:
        assert await first.write(deliveries(0, 1), at(0, 2, "r/two/0"))
        assert await second.write(deliveries(2, begin=2), at(2, 3, "r/two/0"))
        with pytest.raises(Unreachable, match="r/two/0 is at 3 there, not at 2: somebody else has written"):
            await first.write(deliveries(2, 3, begin=2), at(2, 4, "r/two/0"))
        assert 3 == await first.last_position("r/two/0")
        assert await first.write(deliveries(3, begin=3), at(3, 4, "r/two/0"))
    with asking(server) as client:
        assert [b"0", b"1", b"2", b"3"] == client.lrange("two", 0, -1)


async def test_a_redis_that_has_lost_what_it_acknowledged(server: RedisServer) -> None:
    """Is not written to over the gap."""
    written = options(server, mode="list", key="lost")
    async with opened(written) as sink:
        await sink.write(deliveries(0, 1), at(0, 2, "r/lost/0"))
        with asking(server) as client:
            client.delete("lost", "riverrun:position:r/lost/0")
        with pytest.raises(Unreachable, match=r"r/lost/0 is at nowhere there, not at 2: .* or it has lost"):
            await sink.write(deliveries(2, begin=2), at(2, 3, "r/lost/0"))
        assert await sink.last_position("r/lost/0") is None
    with asking(server) as client:
        assert 0 == client.exists("lost")


@pytest.mark.parametrize("mode", ["list", "stream"])
async def test_a_key_of_another_kind(server: RedisServer, mode: str) -> None:
    """Is the record's fault where it names the key, else the route's; nothing of the batch is there."""
    lane = f"r/kind-{mode}/0"
    with asking(server) as client:
        client.set("kind:bad", "x")
    async with opened(options(server, mode=mode, key="kind:{to}")) as sink:
        with pytest.raises(RecordRefused, match=f"'kind:bad' is a string, not a {mode}") as refused:
            await sink.write(deliveries({"to": "good"}, {"to": "bad"}, {"to": "good"}), at(0, 3, lane))
        assert 1 == refused.value.place
        assert await sink.last_position(lane) is None
        assert await sink.write(deliveries({"to": mode}), at(0, 3, lane))
    async with opened(options(server, mode=mode, key="kind:bad")) as sink:
        with pytest.raises(InvalidRoute, match=f"'kind:bad' is a string, not a {mode}"):
            await sink.write(deliveries({}), at(3, 4, lane))
    with asking(server) as client:
        assert 0 == client.exists("kind:good")


async def test_somebody_else_has_written_the_position(server: RedisServer) -> None:
    """A person has to look."""
    with asking(server) as client:
        client.set("riverrun:position:r/other/0", "soon")
    async with opened(options(server, mode="list", key="other")) as sink:
        with pytest.raises(InvalidRoute, match="riverrun:position:r/other/0 holds no position"):
            await sink.last_position("r/other/0")


@pytest.mark.parametrize(
    ("mode", "rules", "expected"),
    [
        ("list", "+@all -set ~*", "may not write 'acl:k0', or not its lane's position"),
        ("list", "+@all -rpush ~*", "may not write 'acl:k0'"),
        ("list", "+@all -ltrim ~*", "may not write 'acl:k0'"),
        ("stream", "+@all -xadd ~*", "may not write 'acl:k0'"),
        ("set", "+@all -del ~*", "may not write 'acl:k0'"),
        ("hash", "+@all -del ~*", "may not write 'acl:k0'"),
        ("hash", "+@all -hset ~*", "may not write 'acl:k0'"),
        ("list", "+@all ~riverrun:*", "refuses us"),
        ("set", "+@all ~acl:*", "refuses us"),
        ("stream", "+@all -evalsha -eval -script ~*", "refuses us"),
    ],
)
async def test_rights(server: RedisServer, mode: str, rules: str, expected: str) -> None:
    """What is missing is found before anything is written."""
    with asking(server) as client:
        client.execute_command("ACL", "SETUSER", "writer", "reset", "on", ">pw", *rules.split())
    more: dict[str, Any] = {"url": server.url, "user": "writer", "password": "pw", "mode": mode, "key": "acl:{key}"}
    if mode == "list":
        more["length_max"] = 10
    async with opened(RedisSink(**more)) as sink:
        with pytest.raises(InvalidRoute, match=expected):
            await sink.write(deliveries({"a": 1}), at(0, 1, "r/acl/0"))
    with asking(server) as client:
        assert 0 == client.exists("acl:k0", "riverrun:position:r/acl/0")

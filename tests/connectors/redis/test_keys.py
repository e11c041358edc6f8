"""Values and hashes: the last record of a key is what is there, however often it was written."""

from typing import Any

import pytest

from cluster.errors import RecordRefused, Unreachable
from tests.connectors.redis.writing import asking, at, deliveries, opened, options
from tests.servers.redis import RedisServer

pytestmark = [pytest.mark.slow]


async def test_values(server: RedisServer) -> None:
    """JSON, or bytes as they are; a deletion deletes; again is the same."""
    async with opened(options(server, key="v:{key}")) as sink:
        batch = deliveries({"a": [1, None]}, b"\xff", "text", 7)
        assert await sink.last_position("r/values/0") is None
        assert await sink.write(batch, at(0, 4, "r/values/0"))
        assert await sink.write(batch, at(0, 4, "r/values/1"))
        assert await sink.write(deliveries(None), at(4, 5, "r/values/0"))
        assert await sink.write([], at(5, 6, "r/values/0"))
        assert 6 == await sink.last_position("r/values/0")
    with asking(server) as client:
        assert [None, b"\xff", b'"text"', b"7"] == client.mget("v:k0", "v:k1", "v:k2", "v:k3")


async def test_hashes(server: RedisServer) -> None:
    """Fields that a record has no more are gone; text is itself, all else JSON, null is nothing."""
    async with opened(options(server, mode="hash", key="h:{sku}")) as sink:
        await sink.write(deliveries({"sku": "a", "old": 1}), at(0, 1, "r/hashes/0"))
        await sink.write(
            deliveries({"sku": "a", "n": 1.5, "on": True, "tags": ["x"], "no": None, "t": "ü"}), at(1, 2, "r/hashes/0")
        )
    async with opened(options(server, mode="hash", key="h:{key}")) as sink:
        await sink.write(deliveries({"a": 1}, {"a": 2}), at(0, 2, "r/hashes/1"))
        await sink.write(deliveries(None, {}), at(2, 4, "r/hashes/1"))
    with asking(server) as client:
        expected = {"sku": b"a", "n": b"1.5", "on": b"true", "tags": b'["x"]', "t": "ü".encode()}
        assert {name.encode(): value for name, value in expected.items()} == client.hgetall("h:a")
        assert 0 == client.exists("h:k0", "h:k1")


@pytest.mark.parametrize("mode", ["set", "hash"])
async def test_they_end(server: RedisServer, mode: str) -> None:
    """After `ttl`, and not before."""
    async with opened(options(server, mode=mode, key=f"ttl:{mode}:{{key}}", ttl="1h")) as sink:
        await sink.write(deliveries({"a": 1}), at(0, 1, f"r/ttl-{mode}/0"))
    with asking(server) as client:
        assert 3_590_000 < client.pttl(f"ttl:{mode}:k0") <= 3_600_000


@pytest.mark.parametrize(
    ("more", "value", "expected"),
    [
        ({"key": "x:{sku}"}, {"skew": 1}, "needs 'sku', which the record lacks"),
        ({"key": "x:{sku}"}, None, "needs 'sku', which the record lacks"),
        ({"mode": "hash", "key": "x:{key}"}, b"raw", "a hash is made of a record with fields"),
        ({"mode": "hash", "key": "x:{key}"}, [1], "a hash is made of a record with fields"),
        ({"key": "{sku}"}, {"sku": "riverrun:position:r/t/0"}, "is one of riverrun's own"),
    ],
)
async def test_a_record_that_cannot_be_written(
    server: RedisServer, more: dict[str, Any], value: Any, expected: str
) -> None:
    """Is named by its place, and nothing of its batch is written."""
    async with opened(options(server, **more)) as sink:
        with pytest.raises(RecordRefused, match=expected) as refused:
            await sink.write(deliveries({"sku": "good"}, value), at(0, 2, "r/refused/0"))

    assert 1 == refused.value.place
    with asking(server) as client:
        assert 0 == client.exists("x:good", "x:k0", "good")


async def test_a_hash_of_many_fields(server: RedisServer) -> None:
    """More than a script may hand on at once; all of them, and a field of the last record only."""
    wide = {f"f{n}": n for n in range(20_001)}
    async with opened(options(server, mode="hash", key="wide:{key}")) as sink:
        await sink.write(deliveries({"old": 1}, wide, key="k"), at(0, 2, "r/wide/0"))
    with asking(server) as client:
        assert {name.encode(): b"%d" % n for name, n in wide.items()} == client.hgetall("wide:k")


@pytest.mark.parametrize("mode", ["set", "hash"])
async def test_who_was_overtaken_writes_nothing(server: RedisServer, mode: str) -> None:
    """An older value would stand in the place of a newer one."""
    lane, written = f"r/overtaken-{mode}/0", options(server, mode=mode, key=f"{mode}:{{id}}")
    async with opened(written) as frozen, opened(written) as other:
        await frozen.write([], at(0, 1, lane))
        await other.write(deliveries({"id": "a", "n": 2}, begin=1), at(1, 2, lane))
        with pytest.raises(Unreachable, match="is at 2 there, not at 1"):
            await frozen.write(deliveries({"id": "a", "n": 1}, begin=1), at(1, 2, lane))
    with asking(server) as client:
        assert b"2" == (client.hget("hash:a", "n") if mode == "hash" else client.get("set:a")[-2:-1])

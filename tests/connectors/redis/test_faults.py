"""A Redis that is away, hangs, is full or refuses: one sentence, and the right kind of error."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from cluster.connectors.redis.options import RedisSink
from cluster.errors import InvalidRoute, Unreachable
from tests.connectors.redis.writing import asking, at, deliveries, opened, options
from tests.servers.redis import RedisServer

pytestmark = [pytest.mark.slow]
PASSWORD = "s3cret-word"


@pytest.fixture(scope="module")
def guarded() -> Iterator[RedisServer]:
    """With a password."""
    server = RedisServer(requirepass=PASSWORD)
    server.start()
    try:
        yield server
    finally:
        server.stop()


async def failure(written: RedisSink) -> Exception:
    """What a write says."""
    async with opened(written) as sink:
        try:
            async with asyncio.timeout(10):
                await sink.write(deliveries({"a": 1}), at(0, 1, "r/faults/0"))
        except (Unreachable, InvalidRoute) as error:
            return error
    raise AssertionError


@pytest.mark.parametrize("more", [{}, {"password": "s3cret-but-wrong"}, {"user": "nobody", "password": PASSWORD}])
async def test_credentials(guarded: RedisServer, more: dict[str, Any]) -> None:
    """Only a person can mend them; the right ones are taken from the options or the URL."""
    error = await failure(options(guarded, **more))

    assert isinstance(error, InvalidRoute), error
    assert str(error).startswith(f"redis 127.0.0.1:{guarded.port}/0 refuses us: ")
    assert "s3cret" not in str(error)
    for right in ({"password": PASSWORD}, {"url": f"redis://:{PASSWORD}@127.0.0.1:{guarded.port}/0"}):
        async with opened(options(guarded, **right)) as sink:
            assert await sink.write([], at(0, 1, f"r/{more}/{right}"))


@pytest.mark.parametrize("mode", ["set", "stream"])
async def test_a_database_that_is_not_there(server: RedisServer, mode: str) -> None:
    """A person has to name another."""
    error = await failure(options(server, mode=mode, url=server.url[:-1] + "99"))

    assert isinstance(error, InvalidRoute), error
    assert "DB index is out of range" in str(error)


async def test_nobody_there() -> None:
    """It is waited for."""
    server = RedisServer()
    try:
        for host, kind in (("no-such-host.invalid", Unreachable), ("no..host", InvalidRoute)):
            assert isinstance(await failure(RedisSink(url=f"redis://{host}/0")), kind)
        for mode in ("set", "stream"):
            error = await failure(options(server, mode=mode))
            assert isinstance(error, Unreachable), error
            assert str(error).startswith(f"redis 127.0.0.1:{server.port}/0 is away: ")
    finally:
        server.stop()


@pytest.mark.parametrize("mode", ["set", "stream"])
async def test_it_hangs(server: RedisServer, mode: str) -> None:
    """It is waited for as long as the options say; what came of the write is found out later."""
    lane = f"r/hangs-{mode}/0"
    async with opened(options(server, mode=mode, key="hangs:{key}", timeout="300ms")) as sink:
        await sink.last_position(lane)
        with server.frozen(), pytest.raises(Unreachable, match="does not answer in time"):
            await asyncio.wait_for(sink.write(deliveries({"a": 1}), at(0, 1, lane)), 5)
    async with opened(options(server, mode=mode, key="hangs:{key}")) as sink:
        assert await sink.last_position(lane) in {None, 1}


@pytest.mark.parametrize("mode", ["set", "hash", "list", "stream"])
async def test_it_is_full(server: RedisServer, mode: str) -> None:
    """It is waited for, and nothing of the batch is there."""
    async with opened(options(server, mode=mode, key=f"full:{mode}:{{key}}")) as sink:
        with asking(server) as client:
            client.config_set("maxmemory", "1")
            try:
                with pytest.raises(Unreachable, match=r"writes nothing for now: .*memory"):
                    await sink.write(deliveries({"a": 1}, {"a": 2}), at(0, 2, f"r/full-{mode}/0"))
                assert 0 == client.exists(f"full:{mode}:k0", f"full:{mode}:k1")
            finally:
                client.config_set("maxmemory", "0")
        assert await sink.write(deliveries({"a": 1}), at(0, 2, f"r/full-{mode}/0"))


async def test_it_evicts_what_it_likes(server: RedisServer) -> None:
    """Then no position is safe there; values need none."""
    with asking(server) as client:
        client.config_set("maxmemory", "1gb")
        client.config_set("maxmemory-policy", "allkeys-lru")
        try:
            error = await failure(options(server, mode="list", key="evicts"))
            async with opened(options(server)) as sink:
                assert await sink.write(deliveries({"a": 1}), at(0, 1))
        finally:
            client.config_set("maxmemory", "0")
            client.config_set("maxmemory-policy", "noeviction")

    assert isinstance(error, InvalidRoute), error
    assert "evicts any key when its memory is full (allkeys-lru), positions among them" in str(error)


async def test_it_became_a_replica(server: RedisServer) -> None:
    """A failover is under way: it is waited for."""
    with asking(server) as client:
        client.replicaof("127.0.0.1", "1")
        try:
            found = [await failure(options(server, mode=mode, key=f"{mode}:{{key}}")) for mode in ("set", "stream")]
        finally:
            client.replicaof("NO", "ONE")

    assert [Unreachable, Unreachable] == [type(error) for error in found], found


async def test_it_is_started_again(server: RedisServer) -> None:
    """The same sink goes on, or says that it has to be tried again."""
    async with opened(options(server, mode="list", key="again")) as sink:
        assert await sink.write(deliveries(1), at(0, 1, "r/again/0"))
        server.kill()
        server.start()
        try:
            await sink.write(deliveries(2, begin=1), at(1, 2, "r/again/0"))
        except Unreachable:
            assert 1 == await sink.last_position("r/again/0")
            assert await sink.write(deliveries(2, begin=1), at(1, 2, "r/again/0"))
    with asking(server) as client:
        assert [b"1", b"2"] == client.lrange("again", 0, -1)

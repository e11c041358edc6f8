"""A connection on which nothing comes back is not used again, whatever the kernel and gRPC's pings say of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from grpc import aio

from cluster.errors import DeadlineExceeded
from cluster.real import channels
from cluster.real.channels import RealChannel

METHOD = "/test/Exchange"


@pytest.mark.parametrize(("answers", "connections"), [(False, 2), (True, 1)])
async def test_a_stream_that_was_never_answered_is_followed_by_one_on_a_new_connection(
    *, answers: bool, connections: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Damage that TCP did not tell had made such a one of a link's: each new stream went over it, for a minute."""
    monkeypatch.setattr(channels, "UNANSWERED_S_MAX", 0.05)
    callers: list[str] = []
    called = asyncio.Event()

    async def exchange(requests: AsyncIterator[bytes], context: aio.ServicerContext[bytes, bytes]) -> None:
        callers.append(context.peer())
        called.set()
        async for request in requests:
            if answers:
                await context.write(request)

    server = aio.server()
    handler = channels.grpc.stream_stream_rpc_method_handler(exchange)
    server.add_generic_rpc_handlers((channels.grpc.method_handlers_generic_handler("test", {"Exchange": handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    channel = RealChannel(f"127.0.0.1:{port}")
    try:
        for _ in range(2):
            called.clear()
            stream = channel.stream(METHOD)
            await stream.send(b"hello")
            if answers:
                assert await stream.receive() == b"hello"
            await called.wait()
            await asyncio.sleep(0.1)
            stream.cancel()
    finally:
        await channel.close()
        await server.stop(None)
    assert connections == len(set(callers))


@pytest.mark.parametrize("answered", [False, True])
@pytest.mark.parametrize("cancelled", [False, True])
async def test_a_call_that_was_never_answered_is_followed_by_one_on_a_new_connection(
    *, answered: bool, cancelled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scenario `packets`, seed 41: one node passed requests on to another over such a one for minutes, all in vain.

    Where another call was answered meanwhile, it is the request that takes long, and nothing else.
    """
    monkeypatch.setattr(channels, "UNANSWERED_S_MAX", 0.05)
    callers: list[str] = []

    async def take(request: bytes, context: aio.ServicerContext[bytes, bytes]) -> bytes:
        callers.append(context.peer())
        if request == b"in vain":
            await asyncio.sleep(60)
        return b"done"

    server = aio.server()
    handler = channels.grpc.unary_unary_rpc_method_handler(take)
    server.add_generic_rpc_handlers((channels.grpc.method_handlers_generic_handler("test", {"Take": handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    channel = RealChannel(f"127.0.0.1:{port}")

    async def ask_in_vain() -> None:
        if not cancelled:
            with pytest.raises(DeadlineExceeded):
                await channel.call("/test/Take", b"in vain", timeout_s=0.3)
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(0.3):
                await channel.call("/test/Take", b"in vain", timeout_s=60)

    try:
        assert await channel.call("/test/Take", b"", timeout_s=5) == b"done"
        waiting = asyncio.create_task(ask_in_vain())
        await asyncio.sleep(0.1)
        if answered:
            assert await channel.call("/test/Take", b"", timeout_s=5) == b"done"
        await waiting
        assert await channel.call("/test/Take", b"", timeout_s=5) == b"done"
    finally:
        await channel.close()
        await server.stop(None)
    assert len(set(callers)) == (1 if answered else 2)

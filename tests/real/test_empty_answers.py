"""A call that ends well without an answer has failed; gRPC makes None of it."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from cluster.errors import OutcomeUnknown
from cluster.real.network import RealNetwork
from cluster.world import Call, Route


async def test_an_answer_of_which_nothing_came_is_none() -> None:
    """Scenario `packets`, seed 42: a node passed None on, and the one that had asked it failed with a TypeError."""

    async def take(requests: AsyncIterator[bytes], _: Call) -> AsyncIterator[Any]:
        async for _request in requests:
            pass
        for nothing in ():
            yield nothing

    network = RealNetwork()
    listener = await network.listen("127.0.0.1:0", {"/test/Take": Route(streaming=take)}, public=False)
    channel = network.channel(listener.address)
    try:
        with pytest.raises(OutcomeUnknown, match="answered with nothing"):
            await channel.call("/test/Take", b"hello", timeout_s=5)
    finally:
        await channel.close()
        await listener.close(0)

"""A task that is cancelled ends, whatever gRPC says of its call at that moment."""

import asyncio
from typing import Any

import grpc
import pytest
from grpc import aio

from cluster.real.channels import RealStream
from cluster.real.tls_trouble import Trouble


class RefusedCall:
    """gRPC's side of a call that ends with an error just when whoever reads is cancelled, as `read` tells it."""

    async def read(self) -> Any:
        """Raises the call's own error in the place of the cancellation."""
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise aio.AioRpcError(grpc.StatusCode.UNKNOWN, aio.Metadata(), aio.Metadata(), "refused") from None


async def test_a_reader_that_is_cancelled_while_its_call_fails_is_cancelled() -> None:
    """A lane of a link went on connecting after its node had stopped, once in four runs on a busy machine."""
    stream = RealStream(RefusedCall(), "nowhere:1", Trouble("nowhere:1", None))
    reading = asyncio.create_task(stream.receive())
    await asyncio.sleep(0)
    reading.cancel()

    with pytest.raises(asyncio.CancelledError):
        await reading

"""The node's own handlers, called without a network: the same ones that its gRPC listener serves."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import TypeVar

from google.protobuf.message import Message

from cluster.errors import DeadlineExceeded
from cluster.world import Route

M = TypeVar("M", bound=Message)


class WebCall:
    """See World: the server's side of one request. What an HTTP client sends along is never a node's word."""

    def __init__(self, peer: str, *, timeout_s: float | None = None) -> None:
        self._peer = peer
        self._deadline_s = None if timeout_s is None else asyncio.get_running_loop().time() + timeout_s

    def peer(self) -> str:
        """Who calls, for logs."""
        return self._peer

    def time_left_s(self) -> float | None:
        """Until the caller's deadline; None without one."""
        return None if self._deadline_s is None else self._deadline_s - asyncio.get_running_loop().time()

    def metadata(self) -> Mapping[str, str]:
        """Nothing."""
        return {}

    def certified(self) -> frozenset[str]:
        """Nobody here is a node."""
        return frozenset()


class Handlers:
    """Public methods by their full names."""

    def __init__(self, routes: Mapping[str, Route]) -> None:
        self.routes = routes

    async def unary(self, method: str, request: bytes, call: WebCall) -> bytes:
        """One request and its answer, both encoded; DeadlineExceeded when the caller's time is over."""
        handler = self.routes[method].unary
        assert handler is not None, method
        try:
            async with asyncio.timeout(call.time_left_s()):
                return await handler(request, call)
        except TimeoutError:
            raise DeadlineExceeded("there was no answer in time; what was asked for may still be done") from None

    async def ask(self, method: str, request: Message, answer: type[M], call: WebCall) -> M:
        """The same, decoded."""
        return answer.FromString(await self.unary(method, request.SerializeToString(), call))

    def stream(self, method: str, request: Message, call: WebCall) -> AsyncIterator[bytes]:
        """One request and its stream of answers."""
        handler = self.routes[method].streaming
        assert handler is not None, method
        return handler(_one(request.SerializeToString()), call)


async def _one(request: bytes) -> AsyncIterator[bytes]:
    yield request

"""gRPC below the Network protocol: listeners, what they serve and to whom. `channels` has the calling side."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import grpc
from grpc import aio
from grpc_reflection.v1alpha import reflection

from cluster.errors import RefusedToStart, RiverrunError, Unavailable
from cluster.real.channels import OPTIONS, RealChannel
from cluster.real.tls import ClientTls, NodeTls
from cluster.wire.certified import is_of_a_node
from cluster.wire.status import STATUS_KEY, refuse_oversized, status_of
from cluster.world import Route

SERVER_OPTIONS = [
    *OPTIONS,
    ("grpc.so_reuseport", 0),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 500),
    ("grpc.http2.max_ping_strikes", 0),
]
URIS_KEY = "peer_uri"
"""What gRPC calls the URIs in the caller's certificate."""
BREAK_NOTICED_S = 0.02
"""Between the end of a broken stream's requests and the cancellation of its handler; they come almost at once."""


class RealNetwork:
    """See World. With a node's or a client's `tls`, what that says is spoken; without, plain text."""

    def __init__(self, tls: NodeTls | ClientTls | None = None) -> None:
        self._tls = tls

    async def listen(self, address: str, routes: Mapping[str, Route], *, public: bool) -> "RealListener":
        """See World."""
        server = aio.server(options=SERVER_OPTIONS)
        tls = self._tls if isinstance(self._tls, NodeTls) else None
        server.add_generic_rpc_handlers((_Routes(routes, _Door(tls, public=public)),))
        if public:
            names = sorted({method.split("/")[1] for method in routes})
            reflection.enable_server_reflection([*names, reflection.SERVICE_NAME], server)
        try:
            credentials = None if tls is None else tls.server_credentials(public=public)
            if credentials is None:
                port = server.add_insecure_port(address)
            else:
                port = server.add_secure_port(address, credentials)
        except RuntimeError as error:
            raise RefusedToStart(f"cannot listen on {address}: is another process using the port?") from error
        await server.start()
        host = address.rsplit(":", 1)[0]
        return RealListener(f"{host}:{port}", server)

    def channel(self, address: str) -> "RealChannel":
        """See World."""
        return RealChannel(address, self._tls)


class RealListener:
    """See World."""

    def __init__(self, address: str, server: aio.Server) -> None:
        self.address = address
        self._server = server

    async def close(self, grace_s: float) -> None:
        """See World."""
        await self._server.stop(grace_s)


class _Door:
    """Who may come in at a listener, and what is believed of them."""

    def __init__(self, tls: NodeTls | None, *, public: bool) -> None:
        self._tls = tls
        self._public = public

    def call(self, context: aio.ServicerContext[bytes, bytes]) -> "_Call":
        """Forbidden if this caller may call nothing here."""
        call = _Call(context, self)
        if self._tls is not None and not self._public:
            self._tls.refuse_strangers(call)
        return call

    def names(self, context: aio.ServicerContext[bytes, bytes]) -> frozenset[str] | None:
        """See Call.certified."""
        if self._tls is None:
            return None
        names = (name.decode(errors="replace") for name in context.auth_context().get(URIS_KEY, ()))
        return frozenset(name for name in names if not (self._public and is_of_a_node([name])))


class _Call:
    def __init__(self, context: aio.ServicerContext[bytes, bytes], door: _Door) -> None:
        self._context = context
        self._door = door

    def peer(self) -> str:
        return self._context.peer()

    def time_left_s(self) -> float | None:
        return self._context.time_remaining()

    def metadata(self) -> Mapping[str, str]:
        pairs = self._context.invocation_metadata() or ()
        return {str(key): value if isinstance(value, str) else "" for key, value in pairs}

    def certified(self) -> frozenset[str] | None:
        return self._door.names(self._context)


class _Routes(grpc.GenericRpcHandler):
    """Methods by full name; a name that is not UTF-8 finds none."""

    def __init__(self, routes: Mapping[str, Route], door: _Door) -> None:
        self._door = door
        self._handlers = {method: self._handler(route) for method, route in routes.items()}

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """Find the handler."""
        return self._handlers.get(handler_call_details.method)

    def _handler(self, route: Route) -> Any:
        if route.unary is not None:
            return grpc.unary_unary_rpc_method_handler(_unary(route.unary, self._door))
        assert route.streaming is not None
        return grpc.stream_stream_rpc_method_handler(_streaming(route.streaming, self._door))


def _unary(handler: Callable[[bytes, Any], Awaitable[bytes]], door: _Door) -> Any:
    async def answer(request: bytes, context: aio.ServicerContext[bytes, bytes]) -> bytes:
        try:
            response = await handler(request, door.call(context))
            refuse_oversized(response)
        except RiverrunError as error:
            await _abort(context, error)
            raise AssertionError("abort raises") from error
        return response

    return answer


def _streaming(handler: Callable[[AsyncIterator[bytes], Any], AsyncIterator[bytes]], door: _Door) -> Any:
    async def answer(requests: AsyncIterator[bytes], context: aio.ServicerContext[bytes, bytes]) -> None:
        try:
            call = door.call(context)
        except RiverrunError as error:
            await _abort(context, error)
            return
        answers = handler(_until_finished(requests, context), call)
        try:
            async for message in answers:
                refuse_oversized(message)
                await context.write(message)
        except RiverrunError as error:
            await _abort(context, error)
        finally:
            await answers.aclose()  # type: ignore[attr-defined]

    return answer


async def _until_finished(
    requests: AsyncIterator[bytes], context: aio.ServicerContext[bytes, bytes]
) -> AsyncIterator[bytes]:
    """The requests, whose end is the client's word: where a stream breaks, gRPC ends them just before it says so."""
    async for message in requests:
        yield message
    await asyncio.sleep(BREAK_NOTICED_S)
    if context.cancelled():
        raise Unavailable("the stream was dropped")


async def _abort(context: aio.ServicerContext[bytes, bytes], error: RiverrunError) -> None:
    status = status_of(error)
    code = next(code for code in grpc.StatusCode if code.value[0] == status.code)
    await context.abort(code, status.message, ((STATUS_KEY, status.SerializeToString()),))

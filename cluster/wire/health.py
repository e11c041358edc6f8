"""grpc.health.v1 after its proto: Check and Watch, for the node ("") and for each service of a listener.

The library's own servicer is not used: a watcher of it that does not read holds up whoever sets a state, so that the
node could not stop; and the end of one watcher of a service is the end of the news for all others of that service.

Source: https://github.com/grpc/grpc/blob/master/doc/health-checking.md
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from functools import partial

from grpc_health.v1 import health_pb2

from cluster.errors import UnknownService
from cluster.wire.api import parse
from cluster.world import Call, Route

SERVICE = "grpc.health.v1.Health"
_STATES = health_pb2.HealthCheckResponse


class Health:
    """Whether a node serves, for all who ask or watch. At first it does not."""

    def __init__(self) -> None:
        self.serving = False
        self._closed = False
        self._changed = asyncio.Event()

    def set_serving(self, *, serving: bool) -> None:
        """From now on; those who watch are told."""
        if serving != self.serving:
            self.serving = serving
            self._tell()

    def close(self) -> None:
        """The listeners are about to close: it does not serve, and streams of those who watch end with that word."""
        self.serving, self._closed = False, True
        self._tell()

    def routes(self, routes: Mapping[str, Route]) -> dict[str, Route]:
        """What a listener serves, with the two methods for the services among it."""
        services = frozenset(["", SERVICE, *(method.split("/")[1] for method in routes)])
        return {
            **routes,
            f"/{SERVICE}/Check": Route(unary=partial(self._check, services)),
            f"/{SERVICE}/Watch": Route(streaming=partial(self._watch, services)),
        }

    async def _check(self, services: frozenset[str], data: bytes, call: Call) -> bytes:
        del call
        service = parse(health_pb2.HealthCheckRequest, data).service
        if service not in services:
            raise UnknownService(f"there is no service {service[:128]!r} at this listener")
        return self._answer()

    async def _watch(
        self, services: frozenset[str], requests: AsyncIterator[bytes], call: Call
    ) -> AsyncIterator[bytes]:
        del call
        service = parse(health_pb2.HealthCheckRequest, await anext(requests, b"")).service
        if service not in services:  # the proto's way: it might come, so the stream stays open
            yield _STATES(status=_STATES.SERVICE_UNKNOWN).SerializeToString()
        told: bytes | None = None
        while True:
            changed = self._changed
            if service in services and told != (answer := self._answer()):
                told = answer
                yield answer
            if self._closed:
                return
            await changed.wait()

    def _answer(self) -> bytes:
        return _STATES(status=_STATES.SERVING if self.serving else _STATES.NOT_SERVING).SerializeToString()

    def _tell(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

"""Where a node's meters are put between its parts: around the handlers of its methods, and before its links."""

from collections.abc import Callable, Mapping

from cluster.errors import RiverrunError
from cluster.messages import AppendEntries
from cluster.meters import Histogram, Meters
from cluster.types import NodeId
from cluster.wire.peer import ReplicaEnvelope
from cluster.world import Call, Clock, Route, Unary


def timed(routes: Mapping[str, Route], meters: Meters, clock: Clock) -> dict[str, Route]:
    """The same methods; how long those of one answer take, and how they fail, is counted. Streams are as they were."""
    return {
        method: route if route.unary is None else Route(unary=_timed(method, route.unary, meters, clock))
        for method, route in routes.items()
    }


def _timed(method: str, handler: Unary, meters: Meters, clock: Clock) -> Unary:
    times = meters.requests[method.removeprefix("/riverrun.v1.")] = Histogram()

    async def answer(request: bytes, call: Call) -> bytes:
        began_s = clock.monotonic_s()
        try:
            return await handler(request, call)
        except RiverrunError as error:
            meters.failed(error.reason)
            raise
        finally:
            times.observe(clock.monotonic_s() - began_s)

    return answer


def counted(
    send: Callable[[NodeId, ReplicaEnvelope], object], meters: Meters
) -> Callable[[NodeId, ReplicaEnvelope], object]:
    """The same; folds, and entries up to the commit, are counted: who is sent them lacks what was committed."""

    def send_counted(to: NodeId, envelope: ReplicaEnvelope) -> object:
        if envelope.entries:
            message = envelope.message
            if isinstance(message, AppendEntries) and envelope.entries[-1].index <= message.commit:
                meters.catch_up_bytes += sum(entry.size_bytes for entry in envelope.entries)
        elif envelope.fold:
            meters.catch_up_bytes += len(envelope.fold)
        return send(to, envelope)

    return send_counted

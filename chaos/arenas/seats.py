"""Workloads' clients that may vanish, as if their processes had been killed; and the fault that does it, in any arena.

A workload says who sits where, and goes on with another client when one has vanished. What a vanished client does ends
between two lines of it; then it is abandoned: no end of a stream is said, no group is left, nothing is committed. Its
streams break in the simulator; over gRPC they are reset and the connections closed, where the end of a process would
only close them: a node's handlers are cancelled by either.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from chaos.arenas.arena import HitNobody, Mend
from cluster.client.client import Client

Killed = Callable[[], None]
"""Told at once when a client vanishes: whoever uses it must not run another line."""


class Seats:
    """Of one arena: who sits there now, by the name of the place."""

    def __init__(self) -> None:
        self._taken: dict[str, tuple[Client, Killed]] = {}
        self.vanished = 0

    def take(self, place: str, client: Client, killed: Killed) -> None:
        """From now on that client may vanish."""
        self._taken[place] = client, killed

    def leave(self, place: str) -> None:
        """It will not any more, if it has not."""
        self._taken.pop(place, None)

    async def vanish(self, share: float) -> str | None:
        """One of those who sit, by its share (0 … 1) of the places in their order; its place, None if nobody sits."""
        if not self._taken:
            return None
        place = sorted(self._taken)[int(share * len(self._taken))]
        client, killed = self._taken.pop(place)
        self.vanished += 1
        killed()
        await client.abandon()
        return place


class ClientVanish:
    """See Injector. Options: `seat`, the share that says who vanishes. HitNobody where nobody sits."""

    def __init__(self, seats: Seats) -> None:
        self._seats = seats

    def missing(self) -> str:
        """Nothing is needed for it."""
        return ""

    async def inject(self, nodes: Sequence[int], options: Mapping[str, Any]) -> Mend | None:
        """See Injector: over when it returns; it hits no node."""
        del nodes
        if await self._seats.vanish(options["seat"]) is None:
            raise HitNobody("no client has a seat that it could vanish from")
        return None

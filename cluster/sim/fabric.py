"""What lies between simulated hosts: delays, cuts in either direction, who listens where, and which streams are open.

A cut is a black hole. What is sent into it waits, as TCP would repeat it: it arrives when the cut heals soon enough,
and when keepalives would have noticed the silence, the stream breaks. So a stream never has a gap. What is under way
belongs to no host: it arrives although its sender has crashed or stands still.
"""

import asyncio
import contextvars
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from cluster.sim.clock import Host
from cluster.world import Route

KEEPALIVE_S = 2.0
"""A connection that is silent for so long, because it is cut, is given up by both sides."""
REPEAT_S = 0.2
"""What met a cut is tried again after so long."""


NOBODY = contextvars.Context()
"""In which `CURRENT` is not set."""


def at(when_s: float, work: Callable[..., Any], *arguments: Any) -> None:
    """Do it then, on no host."""
    asyncio.get_running_loop().call_at(when_s, work, *arguments, context=NOBODY)


def after(delay_s: float, work: Callable[..., Any], *arguments: Any) -> None:
    """Do it that much later, on no host."""
    at(asyncio.get_running_loop().time() + delay_s, work, *arguments)


class Connection(Protocol):
    """What the fabric knows of a stream."""

    client: Host
    server: Host | None
    address: str
    work: "asyncio.Task[None] | None"
    """The handler's."""

    def broken(self) -> None:
        """The connection is gone, for both sides."""


@dataclass(frozen=True, slots=True)
class Listening:
    """Who serves what."""

    host: Host
    routes: Mapping[str, Route]


@dataclass
class Fabric:
    """What lies between the hosts. Addresses are `host:port` names; nothing real listens."""

    random: random.Random
    delay_s_min: float = 0.0002
    delay_s_max: float = 0.002
    cuts: dict[tuple[str, str], float] = field(default_factory=dict)
    """(source, target) → since when nothing gets from one to the other."""
    listeners: dict[str, Listening] = field(default_factory=dict)
    streams: dict[Connection, None] = field(default_factory=dict)
    sent: int = 0
    """Messages, ends included."""
    lost: int = 0
    """Of these: what never arrived, because its stream ended first."""
    failed: list[Exception] = field(default_factory=list)
    """What handlers raised that is no error of ours: each is a bug."""
    _last_port: int = 40_000

    def delay_s(self) -> float:
        """For one message."""
        return self.random.uniform(self.delay_s_min, self.delay_s_max)

    def free_port(self) -> int:
        """One that was never used."""
        self._last_port += 1
        return self._last_port

    def listening(self, address: str) -> Listening | None:
        """Who answers there."""
        found = self.listeners.get(address)
        return found if found is not None and found.host.alive else None

    # --- faults

    def is_cut(self, source: Host, target: Host, *, for_s: float = 0.0) -> bool:
        """Whether nothing gets from one to the other, and that for so long already."""
        since_s = self.cuts.get((source.name, target.name))
        return since_s is not None and asyncio.get_running_loop().time() - since_s >= for_s

    def cut(self, source: str, target: str) -> None:
        """From now on nothing gets from one to the other."""
        if (source, target) not in self.cuts:
            now_s = self.cuts[source, target] = asyncio.get_running_loop().time()
            after(KEEPALIVE_S, self._notice, (source, target), now_s)

    def _notice(self, pair: tuple[str, str], since_s: float) -> None:
        if self.cuts.get(pair) == since_s:
            for stream in list(self.streams):
                if stream.server is not None and {stream.client.name, stream.server.name} == set(pair):
                    stream.broken()

    def mend(self, source: str, target: str) -> None:
        """What is sent from one to the other gets there again."""
        self.cuts.pop((source, target), None)

    def heal(self) -> None:
        """Everything gets everywhere."""
        self.cuts.clear()

    def crash(self, host: Host) -> None:
        """The host is gone: nobody listens there, and its streams break a moment later."""
        for address in [address for address, listening in self.listeners.items() if listening.host is host]:
            del self.listeners[address]
        for stream in list(self.streams):
            if host in {stream.client, stream.server}:
                after(self._until_noticed_s(host, stream), stream.broken)

    def _until_noticed_s(self, host: Host, stream: Connection) -> float:
        other = stream.server if stream.client is host else stream.client
        return KEEPALIVE_S if other is not None and self.is_cut(host, other) else self.delay_s()

"""The faults that proxies can bring about, by the names of `chaos.nemeses.links`.

A cut is silent: what is said is swallowed, as by a firewall that drops. Where the schedule says `refused` it is loud:
connections end and new ones are refused, as by one that rejects. When a silent cut is mended its connections end: what
was swallowed is missing in them.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chaos.arenas.arena import Injector, Mend
from chaos.arenas.processes.links.plan import OTHERS, Link, Way
from chaos.nemeses.cuts import PARTITIONS, Cuts, Partition, around

if TYPE_CHECKING:
    from chaos.arenas.processes.links.fitting import Links

STREAMS = {"from": ("downstream",), "to": ("upstream",), "both": ("upstream", "downstream")}
"""Of a link that clients have opened: what the node says, what it hears."""
TOXICS = ("latency", "bandwidth", "slow_close", "timeout", "reset_peer", "slicer", "limit_data")
CLIENT_TOXICS = {"client_latency": "latency", "client_reset": "reset_peer"}
NOT_ATTRIBUTES = ("direction",)


def injectors(links: "Links") -> Mapping[str, Injector]:
    """All of them, for the nodes of these links."""
    found: dict[str, Injector] = {name: _Cut(links, partition) for name, partition in PARTITIONS.items()}
    found |= {name: _Spoil(links, name) for name in TOXICS}
    found |= {name: _SpoilClients(links, toxic) for name, toxic in CLIENT_TOXICS.items()}
    return found | {"client_cut": _CutClients(links)}


@dataclass(frozen=True, slots=True)
class _Cut:
    """Nodes that do not hear each other."""

    links: "Links"
    partition: Partition

    def missing(self) -> str:
        """Nothing: the links are there."""
        return ""

    async def inject(self, nodes: Sequence[int], options: Mapping[str, Any]) -> Mend:
        """See Injector."""
        cuts = self.partition(nodes, self.links.nodes, options)
        where = list(streams(self.links.links, cuts, self.links.nodes))
        if options.get("refused"):
            return await self.links.refuse({link for link, _ in where})
        return await self.links.impose(where, "timeout", {"timeout": 0})


@dataclass(frozen=True, slots=True)
class _Spoil:
    """A toxic on what the targets say to other nodes, hear from them, or both."""

    links: "Links"
    toxic: str

    def missing(self) -> str:
        """Nothing: the links are there."""
        return ""

    async def inject(self, nodes: Sequence[int], options: Mapping[str, Any]) -> Mend:
        """See Injector."""
        cuts = around(nodes, self.links.nodes, options["direction"])
        where = streams(self.links.links, cuts, self.links.nodes)
        return await self.links.impose(where, self.toxic, _attributes(options))


@dataclass(frozen=True, slots=True)
class _CutClients:
    """Clients do not reach the targets."""

    links: "Links"

    def missing(self) -> str:
        """Nothing: the links are there."""
        return ""

    async def inject(self, nodes: Sequence[int], options: Mapping[str, Any]) -> Mend:
        """See Injector."""
        if options.get("refused"):
            return await self.links.refuse(_of_clients(self.links.links, nodes))
        return await self.links.impose(
            _streams_of_clients(self.links.links, nodes, options["direction"]), "timeout", {"timeout": 0}
        )


@dataclass(frozen=True, slots=True)
class _SpoilClients:
    """A toxic between the targets and clients."""

    links: "Links"
    toxic: str

    def missing(self) -> str:
        """Nothing: the links are there."""
        return ""

    async def inject(self, nodes: Sequence[int], options: Mapping[str, Any]) -> Mend:
        """See Injector."""
        where = _streams_of_clients(self.links.links, nodes, options["direction"])
        return await self.links.impose(where, self.toxic, _attributes(options))


def streams(links: Collection[Link], cuts: Cuts, nodes: Collection[int]) -> Iterator[tuple[Link, str]]:
    """Where the things are that go from one node to another: each of the two may have opened the connection.

    A link that several nodes share is cut where it is for all of them. Where it is not, what the one says to the other
    still arrives, but not its answers: nodes take each other to be there only as long as both get through.
    """
    for link in links:
        if link.way is Way.CLIENT:
            continue
        viewers = {link.viewer}
        if link.viewer == OTHERS:
            own = {other.viewer for other in links if other.way is Way.PEER and other.node == link.node}
            viewers = set(nodes) - own - {link.node}
        if viewers and all((viewer, link.node) in cuts for viewer in viewers):
            yield link, "upstream"
        if viewers and all((link.node, viewer) in cuts for viewer in viewers):
            yield link, "downstream"


def _of_clients(links: Collection[Link], nodes: Collection[int]) -> list[Link]:
    return [link for link in links if link.way is Way.CLIENT and link.node in nodes]


def _streams_of_clients(links: Collection[Link], nodes: Collection[int], direction: str) -> Iterator[tuple[Link, str]]:
    for link in _of_clients(links, nodes):
        for stream in STREAMS[direction]:
            yield link, stream


def _attributes(options: Mapping[str, Any]) -> dict[str, int]:
    return {name: value for name, value in options.items() if name not in NOT_ATTRIBUTES}

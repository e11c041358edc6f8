"""Which proxies a cluster gets, and what its nodes are told of them. Pure."""

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from cluster.config import NodeConfig, PeerConfig


class Way(Enum):
    """What goes over a link."""

    PEER = "peer"
    """What nodes say to each other: Raft, the controller's quorum, tasks."""
    FORWARD = "forward"
    """What a node passes on, for a client, to the one that leads."""
    CLIENT = "client"


CLIENTS = 0
"""Whoever connects from outside of the cluster."""
OTHERS = 0
"""Nodes that were there before the one that they connect to: it told them all the same address."""


@dataclass(frozen=True, slots=True)
class Link:
    """A proxy: whoever connects to `node`, from `viewer`, from OTHERS or as CLIENTS, connects to `listen` instead."""

    way: Way
    viewer: int
    node: int
    listen: str
    upstream: str

    @property
    def name(self) -> str:
        """Such as `peer-1-2`, from node 1 to node 2, or `peer-4`, from whoever was there before node 4."""
        return f"{self.way.value}-{self.viewer}-{self.node}" if self.viewer else f"{self.way.value}-{self.node}"


def plan_links(configs: Iterable[NodeConfig], listen: Callable[[], str]) -> list[Link]:
    """All of them. `listen` gives an address for each."""
    links = []
    for config in configs:
        for peer in config.peers:
            if peer.node != config.node:
                links += [
                    Link(Way.PEER, config.node, peer.node, listen(), peer.peer),
                    Link(Way.FORWARD, config.node, peer.node, listen(), peer.client),
                ]
        links.append(Link(Way.CLIENT, CLIENTS, config.node, listen(), config.client.address))
    return links


def plan_later(config: NodeConfig, others: Iterable[NodeConfig], listen: Callable[[], str]) -> list[Link]:
    """Those of a node that has come, to each of the others; what these say to it goes where it is advertised."""
    links = [
        Link(Way.PEER, OTHERS, config.node, config.peer.advertise, config.peer.bind),
        Link(Way.CLIENT, CLIENTS, config.node, config.client.advertise, config.client.bind),
    ]
    for other in others:
        links += [
            Link(Way.PEER, config.node, other.node, listen(), other.peer.bind),
            Link(Way.FORWARD, config.node, other.node, listen(), other.client.bind),
        ]
    return links


def rewired(config: NodeConfig, links: Sequence[Link]) -> NodeConfig:
    """The same node, which reaches the others, and is reached by clients, over these links."""
    found = {(link.way, link.viewer, link.node): link.listen for link in links}

    def seen(peer: PeerConfig) -> PeerConfig:
        if peer.node == config.node:
            return dataclasses.replace(peer, peer=config.peer.bind)  # itself: no network is in between
        return dataclasses.replace(
            peer,
            peer=found.get((Way.PEER, config.node, peer.node), peer.peer),  # one that was off has no link
            client=found.get((Way.FORWARD, config.node, peer.node), peer.client),
        )

    client = dataclasses.replace(config.client, advertise=found[Way.CLIENT, CLIENTS, config.node])
    return dataclasses.replace(config, client=client, peers=tuple(map(seen, config.peers)))

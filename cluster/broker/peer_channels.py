"""Channels to the other nodes' peer listeners: made when they are first used, and made anew when a node has moved."""

import asyncio
from collections.abc import Mapping

from cluster.errors import Unavailable
from cluster.types import NodeId
from cluster.world import Channel, Network


class PeerChannels:
    """`peers` are the nodes' peer addresses as seen from here; they change. Ask for a channel at each use."""

    def __init__(self, network: Network, peers: Mapping[NodeId, str]) -> None:
        self._network = network
        self._peers = peers
        self._channels: dict[NodeId, tuple[str, Channel]] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def __call__(self, node: NodeId) -> Channel:
        """To where that node is now; what is under way to where it was ends. Unavailable if nobody knows it."""
        address = self._peers.get(node)
        found = self._channels.get(node)
        if found is not None:
            if found[0] == address:
                return found[1]
            del self._channels[node]
            closing = asyncio.create_task(found[1].close())
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
        if address is None:
            raise Unavailable(f"node {node} is none that this node knows how to reach")
        channel = self._network.channel(address)
        self._channels[node] = address, channel
        return channel

    async def close(self) -> None:
        """Drop them."""
        while self._channels:  # others may be made meanwhile
            _, (_, channel) = self._channels.popitem()
            await channel.close()
        await asyncio.gather(*self._closing)

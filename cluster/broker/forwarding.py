"""From any node to the one that leads: one hop, marked in the request's metadata so that it never becomes two.

A node that forwards never retries by itself what may have been done: the answer, or that it is unknown, goes back.
"""

from collections.abc import AsyncIterator, Callable, Mapping

from cluster.broker.broker import Broker
from cluster.config import BrokerOptions
from cluster.errors import NotLeader
from cluster.types import NodeId, PartitionId
from cluster.wire.certified import is_of_a_node
from cluster.world import Call, Channel, Network

FORWARDED = "riverrun-forwarded"
"""The metadata key of a request that has taken its hop."""


class OwnCall:
    """A request that the node makes of itself, on behalf of a stream that it serves. See Call."""

    def __init__(self, wait_s_max: float) -> None:
        self._wait_s_max = wait_s_max

    def peer(self) -> str:
        """Nobody else."""
        return "this node"

    def time_left_s(self) -> float:
        """What it gives itself."""
        return self._wait_s_max

    def metadata(self) -> Mapping[str, str]:
        """None."""
        return {}

    def certified(self) -> None:
        """It needs no proof."""


def is_forwarded(call: Call) -> bool:
    """Whether another node sent this on a client's behalf; where there is TLS, whoever says so has to be one."""
    names = call.certified()
    return FORWARDED in call.metadata() and (names is None or is_of_a_node(names))


class Forwarding:
    """Channels to the other nodes' client listeners; with TLS, to their peer listeners.

    `address`: where another node takes requests from this one, be it where clients reach it or not; empty: nowhere.
    """

    def __init__(
        self,
        broker: Broker,
        network: Network,
        options: BrokerOptions,
        address: Callable[[NodeId], str],
    ) -> None:
        self.address = address
        self._broker = broker
        self._network = network
        self._options = options
        self._channels: dict[str, Channel] = {}

    def leader_address(self, partition: PartitionId) -> str:
        """Where the partition's leader takes requests; NotLeader (retry) if nobody is known to lead it."""
        node = self._broker.leader_elsewhere(partition)
        address = self.address(node) if node is not None else ""
        if not address:
            raise NotLeader(f"partition {partition} has no leader that node {self._broker.me} knows of; try again")
        return address

    async def call(self, address: str, method: str, request: bytes, call: Call) -> bytes:
        """One request and its answer, within the caller's deadline."""
        left = call.time_left_s()
        timeout_s = self._options.publish_wait_s_max if left is None else left
        return await self._channel(address).call(method, request, timeout_s=timeout_s, metadata={FORWARDED: "1"})

    async def stream(self, address: str, method: str, request: bytes) -> AsyncIterator[bytes]:
        """One request and its stream of answers."""
        stream = self._channel(address).stream(method, metadata={FORWARDED: "1"})
        try:
            await stream.send(request)
            await stream.finish()
            while (message := await stream.receive()) is not None:
                yield message
        finally:
            stream.cancel()

    async def close(self) -> None:
        """Drop all channels."""
        while self._channels:  # others may be made meanwhile
            await self._channels.popitem()[1].close()

    def _channel(self, address: str) -> Channel:
        channel = self._channels.get(address)
        if channel is None:
            channel = self._channels[address] = self._network.channel(address)
        return channel

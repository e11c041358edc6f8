"""Links: two streams to each peer, and what comes from it.

Rules:
1. Each node opens its own two streams (lanes) to every peer and sends on them; it receives on those that the peer
   opened. So a link is up only when both directions work: our hello was answered on both lanes, and theirs came.
2. Everything that one turn of the loop has for one peer and lane leaves as one message; what is more than 8 MiB as
   several, one after the other.
3. Order is kept and nothing comes twice within a stream. When a stream is replaced, what is left of the old one is
   dropped: nothing of an earlier connection, or an earlier run of the peer, can arrive after it. Nor does anything of
   a link that is down: what a dead node led would be believed in for ever.
4. A peer that was not heard for `lost_after_s` is down; silence is broken by keepalives. So is one of which one lane
   is silent for longer, though the other is not: a flipped bit in a length has a stream swallow all that follows. A
   peer with a new incarnation has gone down and come up. What goes down is opened anew by both sides.
5. The first message proves who speaks: cluster id, node, protocol range, and an HMAC with the cluster's secret. Where
   there is TLS, the caller's certificate has to be that node's, too (`certified.py`).
6. Who is a peer changes: links to new nodes are opened, those to nodes that are gone closed, and these refused. A node
   that hears from a peer that it was removed ends: nobody else would tell it. Of two processes under one id the one
   that came later is refused, once it is sure that both run (`runs.py`).
7. A message that was damaged on its way ends its stream, and nothing of it is taken (`checking.py`): a damaged hello
   is refused, too, for no single bit makes a node of protocol 2 look like one of protocol 1.
"""

import asyncio
import hashlib
import hmac
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence

import structlog

from cluster.config import LinkOptions
from cluster.errors import ChecksumMismatch, InvalidRequest, NodeRemoved, RefusedToStart
from cluster.types import ClusterId, Lane, NodeId
from cluster.wire.certified import refuse_others
from cluster.wire.checking import CHECKED_PROTOCOL, is_whole, sealed
from cluster.wire.clocks import Clocks
from cluster.wire.link import EXCHANGE, Link
from cluster.wire.pb.riverrun.internal.v1 import peer_pb2
from cluster.wire.peer import Hello, PeerMessage, decode_exchange, encode_exchange
from cluster.world import Call, Clock, Network, Random, Route

log_event = structlog.get_logger()
DAMAGED = "a message between nodes was damaged on its way"


class Links:
    """All links of one node. `refuse_gone` raises NodeRemoved for a node that was removed for good.

    `on_removed`: a peer says so of this one, which ends.
    """

    def __init__(
        self,
        *,
        network: Network,
        clock: Clock,
        random: Random,
        me: NodeId,
        cluster_id: ClusterId,
        secret: bytes,
        incarnation: int,
        options: LinkOptions,
        spawn: Callable[..., "asyncio.Task[None]"],
        refuse_gone: Callable[[NodeId], None],
        on_message: Callable[[NodeId, PeerMessage], None],
        on_up: Callable[[NodeId, int], None],
        on_down: Callable[[NodeId], None],
        on_removed: Callable[[], None] = lambda: None,
    ) -> None:
        self.me = me
        self.incarnation = incarnation
        self.options = options
        self.clock = clock
        self.random = random
        self.network = network
        self.on_message = on_message
        self.on_up = on_up
        self.on_down = on_down
        self._cluster = cluster_id
        self._secret = secret
        self.spawn = spawn
        self._refuse_gone = refuse_gone
        self._removed = False
        self._on_removed = on_removed
        self._peers: dict[NodeId, Link] = {}
        self._clocks = Clocks(clock)

    def set_peers(self, addresses: Mapping[NodeId, str]) -> None:
        """Have links to these nodes and no others: who is new gets one, who has moved another one, who is gone none."""
        for node, link in list(self._peers.items()):
            if addresses.get(node) != link.address:
                log_event.info("link_closed", peer=node, address=link.address)
                del self._peers[node]
                link.end()
                self.spawn(link.close(), name=f"link/{node}/close")
        for node, address in addresses.items():
            if node not in self._peers and node != self.me:
                link = self._peers[node] = Link(self, node, address)
                link.start()

    def peers(self) -> list[NodeId]:
        """To whom there are links, up or not."""
        return list(self._peers)

    def send(self, to: NodeId, message: PeerMessage, lane: Lane) -> bool:
        """Send with the next flush; False, and the message is lost, if the link is down or its queue full."""
        peer = self._peers.get(to)
        return peer is not None and peer.lanes[lane].put(message)

    def is_up(self, node: NodeId) -> bool:
        """Whether both directions work."""
        peer = self._peers.get(node)
        return peer is not None and peer.up

    def come_ns(self, to_come: Collection[NodeId] = ()) -> int:
        """The latest time that has come by the wall clocks of a majority of nodes; 0 if too few are known.

        `to_come`: nodes that have never run, and have no say.
        """
        return self._clocks.come_ns({node: link.up for node, link in self._peers.items() if node not in to_come})

    def routes(self) -> Mapping[str, Route]:
        """What the peer listener serves."""
        return {EXCHANGE: Route(streaming=self._exchange)}

    async def close(self) -> None:
        """Drop every stream; the tasks are the supervisor's."""
        for peer in list(self._peers.values()):  # they may change meanwhile
            await peer.close()

    def removed(self, error: NodeRemoved) -> None:
        """A peer refuses this node for good: RefusedToStart, which ends it, but once, for every lane hears of it."""
        if not self._removed:
            self._removed = True
            self._on_removed()
            raise RefusedToStart(error.message) from error

    # --- what peers opened

    async def _exchange(self, requests: AsyncIterator[bytes], call: Call) -> AsyncIterator[bytes]:
        data = await anext(requests, b"")
        first = decode_exchange(data)
        if first.hello is None:
            raise InvalidRequest("the first message of a peer must be a hello")
        if first.hello.protocol_max >= CHECKED_PROTOCOL and not is_whole(data):
            raise ChecksumMismatch(DAMAGED)
        protocol = self.check(first.hello, first.incarnation, call)
        self._refuse_gone(first.hello.node)
        peer = self._peers.get(first.hello.node)
        if peer is None:
            raise InvalidRequest(
                f"node {first.hello.node} is no peer of node {self.me} ({call.peer()}): it is not recorded in this "
                f"cluster (`riverrun cluster add` does that), or was removed from it"
            )
        token = peer.opened(first.hello.lane, first.incarnation)
        try:
            yield peer_pb2.ExchangeResponse(protocol=protocol, incarnation=self.incarnation).SerializeToString()
            async for data in requests:
                if not peer.is_current(first.hello.lane, token):
                    return
                if protocol >= CHECKED_PROTOCOL and not is_whole(data):
                    log_event.warning("peer_message_damaged", peer=peer.node, lane=first.hello.lane.name)
                    raise ChecksumMismatch(DAMAGED)
                peer.heard(first.hello.lane)
                exchange = decode_exchange(data)
                self._clocks.tell(peer.node, exchange.wall_ns)
                for message in exchange.messages:
                    self.on_message(peer.node, message)
        finally:
            peer.closed(first.hello.lane, token)

    def encode(self, messages: Sequence[PeerMessage], hello: Hello | None = None) -> bytes:
        """As it travels: with a checksum, unless this node is told to speak no version that has one."""
        data = encode_exchange(messages, incarnation=self.incarnation, hello=hello, wall_ns=self.clock.wall_ns())
        return sealed(data) if self.options.protocol_max >= CHECKED_PROTOCOL else data

    def hello(self, to: NodeId, lane: Lane) -> Hello:
        """Who we are, to that peer."""
        return Hello(
            cluster=self._cluster,
            node=self.me,
            to=to,
            lane=lane,
            protocol_min=self.options.protocol_min,
            protocol_max=self.options.protocol_max,
            proof=self._proof(self.me, to, self.incarnation),
        )

    def hello_on_control(self, to: NodeId) -> Hello:
        """Who we are, for a stream that is not one of the two lanes; to this node itself, too."""
        return self.hello(to, Lane.CONTROL)

    def check(self, hello: Hello, incarnation: int, call: Call) -> int:
        """The protocol to speak with whoever says this.

        RefusedToStart if nobody of this cluster may have said it; Forbidden if its certificate is not that node's.
        """
        if hello.cluster != self._cluster:
            raise RefusedToStart(f"node {hello.node} belongs to another cluster than node {self.me}")
        if hello.to != self.me:
            raise RefusedToStart(f"node {hello.node} means to reach node {hello.to}; this is node {self.me}")
        if not hmac.compare_digest(hello.proof, self._proof(hello.node, self.me, incarnation)):
            raise RefusedToStart(f"node {hello.node} does not know this cluster's secret")
        names = call.certified()
        if names is not None:
            refuse_others(names, self._cluster, hello.node)
        protocol = min(hello.protocol_max, self.options.protocol_max)
        if protocol < max(hello.protocol_min, self.options.protocol_min):
            raise RefusedToStart(
                f"node {hello.node} speaks protocol {hello.protocol_min} to {hello.protocol_max}, node {self.me} "
                f"{self.options.protocol_min} to {self.options.protocol_max}: upgrade the older one"
            )
        return protocol

    def _proof(self, node: NodeId, to: NodeId, incarnation: int) -> bytes:
        said = self._cluster + f"|{node}|{to}|{incarnation}".encode()
        return hmac.new(self._secret, said, hashlib.sha256).digest()

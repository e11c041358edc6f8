"""Links: two streams to each peer, and what comes from it.

Rules:
1. Each node opens its own two streams (lanes) to every peer and sends on them; it receives on those that the peer
   opened. So a link is up only when both directions work: our hello was answered on both lanes, and theirs came.
2. Everything that one turn of the loop has for one peer and lane leaves as one message.
3. Order is kept and nothing comes twice within a stream. When a stream is replaced, what is left of the old one is
   dropped: nothing of an earlier connection, or an earlier run of the peer, can arrive after it.
4. A peer that was not heard for `lost_after_s` is down; silence is broken by keepalives. A peer with a new incarnation
   has gone down and come up.
5. The first message proves who speaks: cluster id, node, protocol range, and an HMAC with the cluster's secret. Where
   there is TLS, the caller's certificate has to be that node's, too (`certified.py`).
6. A message that was damaged on its way ends its stream, and nothing of it is taken (`checking.py`): a damaged hello
   is refused, too, for no single bit makes a node of protocol 2 look like one of protocol 1.
"""

import asyncio
import hashlib
import hmac
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from typing import Any

import structlog

from cluster.config import LinkOptions
from cluster.errors import ChecksumMismatch, Forbidden, InvalidRequest, RefusedToStart, RiverrunError, Untrusted
from cluster.types import ClusterId, Lane, NodeId
from cluster.wire.certified import refuse_others
from cluster.wire.checking import CHECKED_PROTOCOL, is_whole, sealed
from cluster.wire.pb.riverrun.internal.v1 import peer_pb2
from cluster.wire.peer import Hello, PeerMessage, decode_exchange, encode_exchange, size_of
from cluster.world import Call, Clock, Network, Random, Route, Stream

log_event = structlog.get_logger()
DAMAGED = "a message between nodes was damaged on its way"
EXCHANGE = "/riverrun.internal.v1.PeerService/Exchange"


class Links:
    """All links of one node."""

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
        on_message: Callable[[NodeId, PeerMessage], None],
        on_up: Callable[[NodeId, int], None],
        on_down: Callable[[NodeId], None],
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
        self._spawn = spawn
        self._peers: dict[NodeId, _Peer] = {}

    def set_peers(self, addresses: Mapping[NodeId, str]) -> None:
        """Open links to these nodes; the set is fixed for now."""
        for node, address in addresses.items():
            if node not in self._peers:
                peer = self._peers[node] = _Peer(self, node, address)
                for work, name in peer.work():
                    self._spawn(work, name=f"link/{node}/{name}")

    def send(self, to: NodeId, message: PeerMessage, lane: Lane) -> bool:
        """Send with the next flush; False, and the message is lost, if the link is down or its queue full."""
        peer = self._peers.get(to)
        return peer is not None and peer.lanes[lane].put(message)

    def is_up(self, node: NodeId) -> bool:
        """Whether both directions work."""
        peer = self._peers.get(node)
        return peer is not None and peer.up

    def routes(self) -> Mapping[str, Route]:
        """What the peer listener serves."""
        return {EXCHANGE: Route(streaming=self._exchange)}

    async def close(self) -> None:
        """Drop every stream; the tasks are the supervisor's."""
        for peer in self._peers.values():
            await peer.close()

    # --- what peers opened

    async def _exchange(self, requests: AsyncIterator[bytes], call: Call) -> AsyncIterator[bytes]:
        data = await anext(requests, b"")
        first = decode_exchange(data)
        if first.hello is None:
            raise InvalidRequest("the first message of a peer must be a hello")
        if first.hello.protocol_max >= CHECKED_PROTOCOL and not is_whole(data):
            raise ChecksumMismatch(DAMAGED)
        protocol = self.check(first.hello, first.incarnation, call)
        peer = self._peers.get(first.hello.node)
        if peer is None:
            raise InvalidRequest(f"node {first.hello.node} is no peer of node {self.me} ({call.peer()})")
        token = peer.opened(first.hello.lane, first.incarnation)
        try:
            yield peer_pb2.ExchangeResponse(protocol=protocol, incarnation=self.incarnation).SerializeToString()
            async for data in requests:
                if not peer.is_current(first.hello.lane, token):
                    return
                if protocol >= CHECKED_PROTOCOL and not is_whole(data):
                    log_event.warning("peer_message_damaged", peer=peer.node, lane=first.hello.lane.name)
                    raise ChecksumMismatch(DAMAGED)
                peer.heard()
                for message in decode_exchange(data).messages:
                    self.on_message(peer.node, message)
        finally:
            peer.closed(first.hello.lane, token)

    def encode(self, messages: Sequence[PeerMessage], hello: Hello | None = None) -> bytes:
        """As it travels: with a checksum, unless this node is told to speak no version that has one."""
        data = encode_exchange(messages, incarnation=self.incarnation, hello=hello)
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


class _Peer:
    """One other node: two outgoing lanes, two incoming ones, and whether it is there."""

    def __init__(self, links: Links, node: NodeId, address: str) -> None:
        self.node = node
        self.links = links
        self.up = False
        self.lanes = {lane: _Outgoing(self, lane) for lane in Lane}
        self._channel = links.network.channel(address)
        self._incoming: dict[Lane, int] = {}
        self._tokens = 0
        self._incarnation = 0
        self._heard_s = 0.0

    def work(self) -> list[tuple[Coroutine[Any, Any, None], str]]:
        """What runs for this peer."""
        lanes = [(outgoing.run(), lane.name.lower()) for lane, outgoing in self.lanes.items()]
        return [*lanes, (self._watch(), "watch")]

    def stream(self) -> Stream:
        """A new outgoing stream."""
        return self._channel.stream(EXCHANGE)

    async def close(self) -> None:
        """Drop the connection."""
        await self._channel.close()

    def opened(self, lane: Lane, incarnation: int) -> int:
        """The peer opened a lane; whatever it opened before is dropped."""
        if incarnation != self._incarnation:
            self._incoming.clear()
            self.go_down()
            self._incarnation = incarnation
        self._tokens += 1
        self._incoming[lane] = self._tokens
        self.heard()
        self.look()
        return self._tokens

    def is_current(self, lane: Lane, token: int) -> bool:
        """Whether that stream is still the newest of its lane."""
        return self._incoming.get(lane) == token

    def closed(self, lane: Lane, token: int) -> None:
        """The stream ended."""
        if self.is_current(lane, token):
            del self._incoming[lane]
            self.go_down()

    def heard(self) -> None:
        """Something came."""
        self._heard_s = self.links.clock.monotonic_s()

    def look(self) -> None:
        """Up, if everything is there."""
        if not self.up and len(self._incoming) == len(Lane) and all(lane.ready for lane in self.lanes.values()):
            self.up = True
            self.links.on_up(self.node, self._incarnation)

    def go_down(self) -> None:
        """Down, if it was up."""
        if self.up:
            self.up = False
            self.links.on_down(self.node)

    async def _watch(self) -> None:
        options = self.links.options
        while True:
            await asyncio.sleep(options.keepalive_s)
            if self.up and self.links.clock.monotonic_s() - self._heard_s > options.lost_after_s:
                log_event.warning("peer_silent", peer=self.node)
                self._incoming.clear()
                self.go_down()
                for lane in self.lanes.values():
                    lane.drop()
            for lane in self.lanes.values():
                lane.keep_alive()  # on both: a stream that the peer has given up ends only when something arrives on it


class _Outgoing:
    """One lane to a peer: a queue that one turn fills and one message empties."""

    def __init__(self, peer: _Peer, lane: Lane) -> None:
        self._peer = peer
        self._lane = lane
        self.ready = False
        self._messages: list[PeerMessage] = []
        self._bytes = 0
        self._due = asyncio.Event()
        self._stream: Stream | None = None
        self._keepalive = False

    def put(self, message: PeerMessage) -> bool:
        """Queue; False if the link is down or the queue full."""
        size = size_of(message)
        if not self._peer.up or self._bytes + size > self._peer.links.options.queue_bytes_max:
            return False
        self._messages.append(message)
        self._bytes += size
        self._due.set()
        return True

    def keep_alive(self) -> None:
        """Say something, even if there is nothing to say."""
        self._keepalive = True
        self._due.set()

    def drop(self) -> None:
        """Give the stream up; a new one is opened."""
        self.ready = False
        if self._stream is not None:
            self._stream.cancel()
        self._due.set()

    async def run(self) -> None:
        """Open a stream, send on it until it breaks, again and again."""
        options = self._peer.links.options
        wait_s = options.reconnect_s_min
        refused = ""
        while True:
            try:
                await self._connect()
                wait_s = options.reconnect_s_min
                refused = ""
                await self._send_all()
            except (RefusedToStart, InvalidRequest, Forbidden, Untrusted) as error:
                if error.message != refused:  # once: it does not get better by itself
                    refused = error.message
                    log_event.warning("peer_refuses", peer=self._peer.node, lane=self._lane.name, detail=refused)
            except RiverrunError as error:
                log_event.debug("link_broken", peer=self._peer.node, lane=self._lane.name, reason=error.reason)
            except TimeoutError:
                log_event.debug("link_timeout", peer=self._peer.node, lane=self._lane.name)
            finally:
                self.ready = False
                self._messages.clear()
                self._bytes = 0
                if self._stream is not None:
                    self._stream.cancel()
                    self._stream = None
                self._peer.go_down()
            await asyncio.sleep(wait_s * (0.5 + self._peer.links.random.random()))
            wait_s = min(wait_s * 2, options.reconnect_s_max)

    async def _connect(self) -> None:
        links = self._peer.links
        self._stream = self._peer.stream()
        async with asyncio.timeout(links.options.connect_timeout_s):
            hello = links.hello(self._peer.node, self._lane)
            await self._stream.send(links.encode([], hello))
            if await self._stream.receive() is None:
                raise InvalidRequest("the peer ended the stream instead of answering")
        self.ready = True
        self._peer.look()

    async def _send_all(self) -> None:
        stream = self._stream
        assert stream is not None
        ended = asyncio.ensure_future(stream.receive())  # nothing more comes: it ends when the stream does
        ended.add_done_callback(lambda _: self._due.set())
        try:
            while not ended.done() and self.ready:
                await self._due.wait()
                await asyncio.sleep(0)  # the rest of this turn joins
                self._due.clear()
                messages, self._messages = self._messages, []
                self._bytes = 0
                if messages or self._keepalive:
                    self._keepalive = False
                    await stream.send(self._peer.links.encode(messages))
            if ended.done():
                ended.result()
        finally:
            ended.cancel()

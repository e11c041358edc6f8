"""One link: two outgoing lanes to a peer, two incoming ones, and whether it is there. The rules stand in `links.py`."""

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

import structlog

from cluster.errors import Forbidden, InvalidRequest, NodeRemoved, RefusedToStart, RiverrunError, Untrusted
from cluster.types import Lane, NodeId
from cluster.wire.peer import PeerMessage, size_of
from cluster.wire.runs import Runs
from cluster.world import Stream

if TYPE_CHECKING:
    from cluster.wire.links import Links

log_event = structlog.get_logger()
EXCHANGE = "/riverrun.internal.v1.PeerService/Exchange"
EXCHANGE_BYTES_MAX = 8 * 1024 * 1024
"""Of what leaves as one message, but for a larger one alone: far below what a network carries in one."""


class Link:
    """One other node: two outgoing lanes, two incoming ones, and whether it is there."""

    def __init__(self, links: "Links", node: NodeId, address: str) -> None:
        self.node = node
        self.address = address
        self.links = links
        self.up = False
        self.lanes = {lane: _Lane(self, lane) for lane in Lane}
        self._channel = links.network.channel(address)
        self._incoming: dict[Lane, int] = {}
        self._tokens = 0
        self._up_since = 0
        """The newest token when it came up."""
        self._incarnation = 0
        self._heard_s = dict.fromkeys(Lane, float("-inf"))
        self._runs = Runs()
        self._work: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Open lanes, and watch."""
        lanes: list[tuple[Coroutine[Any, Any, None], str]]
        lanes = [(outgoing.run(), lane.name.lower()) for lane, outgoing in self.lanes.items()]
        for work, name in [*lanes, (self._watch(), "watch")]:
            self._work.append(self.links.spawn(work, name=f"link/{self.node}/{name}"))

    def end(self) -> None:
        """No link to this node any more, or one to another address: `close` is to follow."""
        for task in self._work:
            task.cancel()
        self._incoming.clear()
        self.go_down()

    def stream(self) -> Stream:
        """A new outgoing stream."""
        return self._channel.stream(EXCHANGE)

    async def close(self) -> None:
        """Drop the connection."""
        await self._channel.close()

    def opened(self, lane: Lane, incarnation: int) -> int:
        """The peer opened a lane; whatever it opened before is dropped. RefusedToStart if it runs twice."""
        self._check_run(incarnation)
        if incarnation != self._incarnation:
            self._incoming.clear()
            self.go_down()
            self._incarnation = incarnation
        self._tokens += 1
        self._incoming[lane] = self._tokens
        self.heard(lane)
        self.look()
        return self._tokens

    def _check_run(self, incarnation: int) -> None:
        known = self._runs.refused
        silent_s = min(self._silent_s().values())
        welcome = self._runs.opens(incarnation, other_is_heard=silent_s <= self.links.options.lost_after_s)
        if self._runs.refused not in {0, known}:
            log_event.error("node_runs_twice", peer=self.node, address=self.address, refused=self._runs.refused)
        if not welcome:
            raise RefusedToStart(
                f"two processes run as node {self.node}, and this one came later: stop it; a node's id and data "
                f"directory are for one process"
            )

    def is_current(self, lane: Lane, token: int) -> bool:
        """Whether that stream is still the newest of its lane."""
        return self._incoming.get(lane) == token

    def closed(self, lane: Lane, token: int) -> None:
        """The stream ended."""
        if self.is_current(lane, token):
            del self._incoming[lane]
            self.go_down()

    def heard(self, lane: Lane) -> None:
        """Something came."""
        self._heard_s[lane] = self.links.clock.monotonic_s()

    def _silent_s(self) -> dict[Lane, float]:
        """How long nothing came on each."""
        now_s = self.links.clock.monotonic_s()
        return {lane: now_s - heard_s for lane, heard_s in self._heard_s.items()}

    def _is_silent(self) -> bool:
        """The peer is, or one of its lanes by itself: a stream that was damaged on its way may swallow what follows."""
        options, silent_s = self.links.options, self._silent_s()
        return (
            min(silent_s.values()) > options.lost_after_s
            or silent_s[Lane.CONTROL] > options.control_silent_s_max
            or silent_s[Lane.BULK] > options.bulk_silent_s_max
        )

    def look(self) -> None:
        """Up, if everything is there."""
        if not self.up and len(self._incoming) == len(Lane) and all(lane.ready for lane in self.lanes.values()):
            self.up = True
            self._up_since = self._tokens
            self.links.on_up(self.node, self._incarnation)

    def go_down(self) -> None:
        """Down, if it was up; then both of our lanes are opened anew: why it is down, only one side may know.

        What still comes on a lane that the peer had opened before is not heard any more. One that it has opened since
        is of its next time up: the peer has gone down already, and need not do so again.
        """
        if self.up:
            self.up = False
            self._incoming = {lane: token for lane, token in self._incoming.items() if token > self._up_since}
            self.links.on_down(self.node)
            for lane in self.lanes.values():
                lane.drop()

    async def _watch(self) -> None:
        options = self.links.options
        while True:
            await asyncio.sleep(options.keepalive_s)
            if self.up and self._is_silent():
                log_event.warning("peer_silent", peer=self.node)
                self._incoming.clear()
                self.go_down()
            for lane in self.lanes.values():
                lane.keep_alive()  # on both: a stream that the peer has given up ends only when something arrives on it


class _Lane:
    """One lane to a peer: a queue that one turn fills and one message empties, or a few where it holds much."""

    def __init__(self, link: Link, lane: Lane) -> None:
        self._link = link
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
        if not self._link.up or self._bytes + size > self._link.links.options.queue_bytes_max:
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
        options = self._link.links.options
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
                    log_event.warning("peer_refuses", peer=self._link.node, lane=self._lane.name, detail=refused)
            except NodeRemoved as error:
                self._link.links.removed(error)
            except RiverrunError as error:
                log_event.debug("link_broken", peer=self._link.node, lane=self._lane.name, reason=error.reason)
            except TimeoutError:
                log_event.debug("link_timeout", peer=self._link.node, lane=self._lane.name)
            finally:
                self.ready = False
                self._messages.clear()
                self._bytes = 0
                if self._stream is not None:
                    self._stream.cancel()
                    self._stream = None
                self._link.go_down()
            await asyncio.sleep(wait_s * (0.5 + self._link.links.random.random()))
            wait_s = min(wait_s * 2, options.reconnect_s_max)

    async def _connect(self) -> None:
        links = self._link.links
        self._stream = self._link.stream()
        async with asyncio.timeout(links.options.connect_timeout_s):
            hello = links.hello(self._link.node, self._lane)
            await self._stream.send(links.encode([], hello))
            if await self._stream.receive() is None:
                raise InvalidRequest("the peer ended the stream instead of answering")
        self.ready = True
        self._link.look()

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
                messages = self._take()
                if messages or self._keepalive:
                    self._keepalive = False
                    await stream.send(self._link.links.encode(messages))
            if ended.done():
                ended.result()
        finally:
            ended.cancel()

    def _take(self) -> list[PeerMessage]:
        """From the queue, what leaves as the next message: all, or as much as one may hold; then the rest is due."""
        if self._bytes <= EXCHANGE_BYTES_MAX:
            taken, self._messages = self._messages, []
            self._bytes = 0
            return taken
        count = size = 0
        for message in self._messages:
            more = size_of(message)
            if count and size + more > EXCHANGE_BYTES_MAX:
                break
            count, size = count + 1, size + more
        taken, self._messages = self._messages[:count], self._messages[count:]
        self._bytes -= size
        if self._messages:
            self._due.set()
        return taken

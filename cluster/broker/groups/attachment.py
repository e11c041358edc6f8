"""A member's node's stream to the coordinator of its group, through every change of coordinator.

Whatever was said and not answered is said again after a break: a commit can be repeated, for a position never goes
back; so can a release, for it names its generation; for a farewell the member does not come back first. What it
holds always comes as a whole.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cluster.broker.broker import Broker
from cluster.broker.groups.home import groups_topic, home_of
from cluster.config import BrokerOptions
from cluster.errors import Outcome, RiverrunError, Unavailable, UnknownMember
from cluster.types import NodeId, Offset, PartitionId, TopicId
from cluster.wire import api
from cluster.wire.attach import ATTACH, SUPERSEDED, attach_request, coordinator_pb2, held_from_pb, held_to_pb
from cluster.wire.links import Links
from cluster.wire.status import error_from
from cluster.world import Channel, Stream


@dataclass(frozen=True, slots=True, kw_only=True)
class Presence:
    """Who is attached: the group, the member's session, its name for people, and its topics with partition counts."""

    group: str
    session: bytes
    client: str
    topics: dict[TopicId, int]


class Attachment:
    """`on_holdings` is called with the member's number and all that it holds, each time that it may have changed."""

    def __init__(
        self,
        presence: Presence,
        *,
        broker: Broker,
        links: Links,
        channel: Callable[[NodeId], Channel],
        options: BrokerOptions,
        on_holdings: Callable[[coordinator_pb2.Holdings], None],
    ) -> None:
        self._presence = presence
        self._broker = broker
        self._links = links
        self._channel = channel
        self._options = options
        self._on_holdings = on_holdings
        self._correlation = 0
        self._commits: dict[int, tuple[bytes, asyncio.Future[None]]] = {}
        self._releases: dict[PartitionId, int] = {}
        self._leaving: asyncio.Future[None] | None = None
        self._outbox: asyncio.Queue[bytes] | None = None
        """Of the stream that is there now."""
        self._attached_s = 0.0
        """When there was one last."""

    # --- what the member says

    def commit(self, positions: Sequence[tuple[PartitionId, int, Offset]]) -> "asyncio.Future[None]":
        """Done when these are on a majority's disks; StaleGeneration, UnknownMember if they are not the member's.

        What is said after it is heard after it.
        """
        self._correlation += 1
        number = self._correlation
        message = coordinator_pb2.AttachRequest(
            commit=coordinator_pb2.CommitHeld(
                correlation=number,
                positions=[held_to_pb(p, generation, position=position) for p, generation, position in positions],
            )
        ).SerializeToString()
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._commits[number] = message, answer
        answer.add_done_callback(lambda _: self._commits.pop(number, None))
        self._say(message)
        return answer

    def release(self, held: Sequence[tuple[PartitionId, int]]) -> None:
        """These are free now; said until it is heard."""
        self._releases.update(held)
        self._say(_release(held))

    async def leave(self) -> None:
        """Return when the member is out of the group."""
        if self._leaving is None:
            self._leaving = asyncio.get_running_loop().create_future()
            self._say(LEAVE)
        await self._leaving

    def _say(self, message: bytes) -> None:
        if self._outbox is not None:
            self._outbox.put_nowait(message)

    # --- the stream

    async def run(self) -> None:
        """Stay attached until the member has left; raises what another try cannot mend.

        Unavailable after `session_grace_s` without a coordinator: this node may be cut off from those who reach it, and
        what the member held goes to others by then. It comes back through another node.
        """
        loop = asyncio.get_running_loop()
        self._attached_s = loop.time()
        while self._leaving is None or not self._leaving.done():
            try:
                await self._attached()
            except RiverrunError as error:
                again = error.retry or error.outcome is Outcome.UNKNOWN or isinstance(error, UnknownMember)
                if not again or error.metadata.items() >= SUPERSEDED.items():
                    raise  # superseded: to come back here would end the newer stream, and so for ever
            except TimeoutError:
                pass
            if loop.time() - self._attached_s > self._options.session_grace_s:
                raise Unavailable(f"this node does not reach the coordinator of the group {self._presence.group!r}")
            await asyncio.sleep(self._options.stream_retry_s)

    async def _attached(self) -> None:
        node, leaving = self._coordinator(), self._leaving is not None
        stream = self._channel(node).stream(ATTACH)
        sending: asyncio.Task[None] | None = None
        try:
            first = attach_request(
                self._links.hello_on_control(node),
                self._links.incarnation,
                group=self._presence.group,
                session=self._presence.session,
                client=self._presence.client,
                topics=self._presence.topics.items(),
                leaving=leaving,
            )
            async with asyncio.timeout(self._options.barrier_wait_s_max):
                await stream.send(first)
                message = await stream.receive()
            outbox: asyncio.Queue[bytes] = asyncio.Queue()
            for said, _ in self._commits.values():
                outbox.put_nowait(said)
            if self._releases:
                outbox.put_nowait(_release(list(self._releases.items())))
            if self._leaving is not None and not leaving:
                outbox.put_nowait(LEAVE)  # said while the stream was being made
            self._outbox = outbox
            sending = asyncio.create_task(_send_all(stream, outbox))
            while message is not None:
                if self._take(api.parse(coordinator_pb2.AttachResponse, message)):
                    return
                message = await stream.receive()
        finally:
            if self._outbox is not None:
                self._attached_s = asyncio.get_running_loop().time()
            self._outbox = None
            stream.cancel()
            if sending is not None:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)

    def _coordinator(self) -> NodeId:
        topic = groups_topic(self._broker)
        if topic is None:
            raise Unavailable("this node has not heard of the groups' topic yet")
        home = home_of(topic, self._presence.group)
        running = self._broker.running.get(home)
        if running is not None and running.replica.raft.is_leader:
            return self._broker.me
        node = self._broker.leader_elsewhere(home)
        if node is None:
            raise Unavailable(f"nobody is known to coordinate the group {self._presence.group!r} now")
        return node

    def _take(self, response: coordinator_pb2.AttachResponse) -> bool:
        """Whether it was the last message."""
        match response.WhichOneof("response"):
            case "holdings":
                held = dict(held_from_pb(item) for item in response.holdings.held)
                self._releases = {p: made for p, made in self._releases.items() if held.get(p) == made}
                self._on_holdings(response.holdings)
            case "outcome":
                _, answer = self._commits.get(response.outcome.correlation, (b"", None))
                if answer is not None and not answer.done():
                    if response.outcome.HasField("error"):
                        error = response.outcome.error
                        answer.set_exception(error_from(error.reason, error.message, dict(error.metadata)))
                    else:
                        answer.set_result(None)
            case "left":
                if self._leaving is not None and not self._leaving.done():
                    self._leaving.set_result(None)
                return True
        return False


LEAVE = coordinator_pb2.AttachRequest(leave=coordinator_pb2.LeaveGroup()).SerializeToString()


def _release(held: Sequence[tuple[PartitionId, int]]) -> bytes:
    return coordinator_pb2.AttachRequest(
        release=coordinator_pb2.ReleaseHeld(held=[held_to_pb(p, generation) for p, generation in held])
    ).SerializeToString()


async def _send_all(stream: Stream, outbox: "asyncio.Queue[bytes]") -> None:
    with contextlib.suppress(RiverrunError):  # whoever receives learns why
        while True:
            await stream.send(await outbox.get())

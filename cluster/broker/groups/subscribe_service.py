"""GroupService.Subscribe: a member's stream, at whichever node it has chosen."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from cluster.broker.broker import Broker
from cluster.broker.groups.attachment import Attachment, Presence
from cluster.broker.groups.home import GROUPS_TOPIC, check_name, groups_topic
from cluster.broker.groups.subscription import Subscription, Wishes
from cluster.broker.peer_channels import PeerChannels
from cluster.broker.read_service import ReadService
from cluster.config import BrokerOptions
from cluster.errors import InvalidRequest, RiverrunError
from cluster.wire import api
from cluster.wire.api import group_pb2
from cluster.wire.attach import coordinator_pb2
from cluster.wire.links import Links
from cluster.world import Call, Random

SESSION_BYTES = 16
SESSION_BYTES_MAX = 64
CLIENT_LENGTH_MAX = 256
TOPICS_MAX = 1_000


class SubscribeService:
    """Handler of Subscribe. `channels` lead to the coordinators, to this node's own, too; they are closed with it."""

    def __init__(
        self,
        *,
        broker: Broker,
        reading: ReadService,
        links: Links,
        random: Random,
        channels: PeerChannels,
        make_topic: Callable[[str], Awaitable[None]],
        options: BrokerOptions,
    ) -> None:
        self._broker = broker
        self._reading = reading
        self._links = links
        self._random = random
        self._channels = channels
        self._make_topic = make_topic
        self._options = options

    async def subscribe(self, requests: AsyncIterator[bytes], call: Call) -> AsyncIterator[bytes]:
        """See the proto."""
        del call
        first = api.parse(group_pb2.SubscribeRequest, await anext(requests, b""))
        if not first.HasField("join"):
            raise InvalidRequest("the first request of a subscription must be join")
        subscription = await self._join(first.join)
        messages = subscription.messages()
        taking = asyncio.create_task(_take_all(requests, subscription))
        try:
            async for message in messages:
                yield message
        finally:
            taking.cancel()
            await messages.aclose()  # type: ignore[attr-defined]
            await asyncio.gather(taking, return_exceptions=True)

    async def close(self) -> None:
        """Drop the channels to the coordinators."""
        await self._channels.close()

    async def _join(self, join: group_pb2.Join) -> Subscription:
        check_name(join.group)
        if not join.topics:
            raise InvalidRequest("a member joins for at least one topic")
        if len(join.topics) > TOPICS_MAX:
            raise InvalidRequest(f"a member joins for at most {TOPICS_MAX} topics, not {len(join.topics)}")
        if len(join.session) > SESSION_BYTES_MAX or len(join.client) > CLIENT_LENGTH_MAX:
            raise InvalidRequest(
                f"a session has at most {SESSION_BYTES_MAX} bytes and a client's name {CLIENT_LENGTH_MAX} characters"
            )
        topics = [self._broker.directory.topic(name) for name in dict.fromkeys(join.topics)]
        wishes = Wishes(
            start=join.start if join.HasField("start") else None,
            delivery=join.delivery,
            codecs=list(join.codecs),
            window_bytes=join.window_bytes or self._options.read_window_bytes_max,
            uncommitted_records_max=join.uncommitted_records_max or self._options.uncommitted_records_max,
        )
        if groups_topic(self._broker) is None:
            await self._make_topic(GROUPS_TOPIC)
        session = join.session or self._random.randbytes(SESSION_BYTES)
        presence = Presence(
            group=join.group,
            session=session,
            client=join.client,
            topics={topic.id: len(topic.partitions) for topic in topics},
        )

        def attach(on_holdings: Callable[[coordinator_pb2.Holdings], None]) -> Attachment:
            return Attachment(
                presence,
                broker=self._broker,
                links=self._links,
                channel=self._channels,
                options=self._options,
                on_holdings=on_holdings,
            )

        return Subscription(
            topics=topics,
            wishes=wishes,
            session=session,
            resumed=bool(join.session),
            reading=self._reading,
            directory=self._broker.directory,
            options=self._options,
            attach=attach,
        )


async def _take_all(requests: AsyncIterator[bytes], subscription: Subscription) -> None:
    """What the member says; its end means that it leaves."""
    try:
        async for data in requests:
            await subscription.take(api.parse(group_pb2.SubscribeRequest, data))
    except RiverrunError as error:
        subscription.fail(error)
    else:
        subscription.finish()

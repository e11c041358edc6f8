"""PublishStream as a client meets it that does not always behave: whole clusters in virtual time."""

import asyncio

import pytest

from cluster.config import BrokerOptions
from cluster.errors import InvalidRequest
from cluster.records import Record
from cluster.sim.cluster import SimCluster
from cluster.sim.stream import WINDOW_MESSAGES
from cluster.wire import api
from cluster.wire.api import stream_pb2
from cluster.wire.records import make_batch
from cluster.world import Stream
from tests.broker.thin import TOPIC, in_a_cluster, thin_channel

pytestmark = pytest.mark.slow
PUBLISH_STREAM = "/riverrun.v1.StreamService/PublishStream"
BATCH = api.batch_to_pb(make_batch([Record(value=b"v", timestamp_ns=1)]))


async def leader_stream(cluster: SimCluster) -> Stream:
    """To whoever leads partition 0."""
    client = cluster.client("asks")
    leader = (await client.describe_topic(TOPIC)).partitions[0].leader
    await client.abandon()
    assert leader is not None
    return thin_channel(cluster, int(leader)).stream(PUBLISH_STREAM)


def request(correlation: int) -> bytes:
    """One batch of one record."""
    return stream_pb2.PublishStreamRequest(
        correlation=correlation, topic=TOPIC, partition=0, batch=BATCH
    ).SerializeToString()


@in_a_cluster
async def test_who_takes_no_answers_is_not_read_from(cluster: SimCluster) -> None:
    """What is unanswered is bounded, answers that nobody takes included; once they are taken it goes on."""
    stream = await leader_stream(cluster)
    sent = 0
    bound = BrokerOptions().stream_requests_max + 2 * WINDOW_MESSAGES + 2

    async def send_many() -> None:
        nonlocal sent
        while sent < 3 * bound:
            await stream.send(request(sent))
            sent += 1

    sending = asyncio.create_task(send_many())
    await asyncio.sleep(5)
    assert WINDOW_MESSAGES < sent <= bound
    answers = [stream_pb2.PublishStreamResponse.FromString(await stream.receive() or b"") for _ in range(3 * bound)]
    await sending
    await stream.finish()

    assert list(range(3 * bound)) == sorted(answer.correlation for answer in answers)
    assert all(answer.HasField("receipt") for answer in answers)
    assert await stream.receive() is None


@in_a_cluster
async def test_what_is_no_request_ends_the_stream_by_its_name(cluster: SimCluster) -> None:
    """A typed error; what was asked before is answered first, or not known."""
    stream = await leader_stream(cluster)
    await stream.send(b"\xff\xff\xff")
    with pytest.raises(InvalidRequest):
        await stream.receive()

"""What goes wrong around a member: it goes while it comes, it never reads, it comes twice, its topic goes."""

import asyncio

import pytest

from cluster.broker.groups.home import groups_topic, home_of
from cluster.broker.groups.state import Groups
from cluster.broker.requests import TransferLeadership
from cluster.errors import TopicDeleted, Unavailable, UnknownTopic
from cluster.sim.cluster import SimCluster
from cluster.types import NodeId, TopicId
from cluster.wire.api import group_pb2, stream_pb2
from tests.broker.groups.test_members import DESCRIBE, GRACE_S, RESET, describe
from tests.broker.groups.thin_member import ThinMember
from tests.broker.thin import PARTITIONS, TOPIC, in_a_cluster, thin_channel

pytestmark = pytest.mark.slow


@in_a_cluster
async def test_who_vanishes_while_it_joins_is_let_go(cluster: SimCluster) -> None:
    """At whatever moment: nobody keeps partitions without a stream for more than the grace."""
    await (await ThinMember(cluster, 1).open()).leave()
    for number in range(40):
        member = ThinMember(cluster, 1 + number % 3)
        await member.begin()
        await asyncio.sleep(number * 0.0005)
        member.break_stream()
    await asyncio.sleep(2 * GRACE_S)

    assert [] == list((await describe(cluster, 1)).members)
    other = await ThinMember(cluster, 2).open()
    await other.take_until_held(PARTITIONS)


@in_a_cluster
async def test_of_two_streams_with_one_session_the_newer_stays(cluster: SimCluster) -> None:
    """The older may be half open for a while: it ends, and does not take the member back again and again."""
    older = await ThinMember(cluster, 1).open()
    await older.take_until_held(PARTITIONS)
    newer = await ThinMember(cluster, 2, session=older.joined.session).open()
    await newer.take_until_held(PARTITIONS)
    with pytest.raises(Unavailable, match="another stream"):
        await older.take_records(1_000_000)
    await asyncio.sleep(GRACE_S)  # the preferred leaders of the new topic take over meanwhile
    before = said(cluster)
    await asyncio.sleep(GRACE_S)

    assert before == said(cluster), "nobody joins any more"
    assert older.held == newer.held
    assert "" == await newer.commit(0, 1)


@in_a_cluster
async def test_who_is_on_its_way_back_is_not_let_go(cluster: SimCluster) -> None:
    """It came within its grace, but the disks are slow: that is no fault of its."""
    member = await ThinMember(cluster, 1, delivery=group_pb2.DELIVERY_NONE).open()
    await member.take_until_held(PARTITIONS)
    member.break_stream()
    await asyncio.sleep(GRACE_S - 1)
    for disk in cluster.disks.values():
        disk.latency_s = 1.5
    again = await ThinMember(cluster, 2, session=member.joined.session, delivery=group_pb2.DELIVERY_NONE).open()
    for disk in cluster.disks.values():
        disk.latency_s = 0.001

    assert member.joined.member == again.joined.member
    assert member.held == {held.partition: held.generation for held in again.joined.held}
    await asyncio.sleep(2 * GRACE_S)
    assert [again.joined.member] == [known.id for known in (await describe(cluster, 1)).members]


@in_a_cluster
async def test_who_vanishes_on_its_way_back_is_let_go(cluster: SimCluster) -> None:
    """From then on it has its grace once more, and not for ever."""
    member = await ThinMember(cluster, 1, delivery=group_pb2.DELIVERY_NONE).open()
    await member.take_until_held(PARTITIONS)
    member.break_stream()
    await asyncio.sleep(GRACE_S - 1)
    for disk in cluster.disks.values():
        disk.latency_s = 1.5
    again = ThinMember(cluster, 2, session=member.joined.session)
    await again.begin()
    await asyncio.sleep(0.1)
    again.break_stream()
    for disk in cluster.disks.values():
        disk.latency_s = 0.001
    await asyncio.sleep(2 * GRACE_S)

    assert [] == list((await describe(cluster, 1)).members)


@in_a_cluster
async def test_a_farewell_whose_answer_was_lost_is_no_new_member(cluster: SimCluster) -> None:
    """It is said again to the next coordinator, without coming back for that: nothing moves once more."""
    await (await ThinMember(cluster, 1, delivery=group_pb2.DELIVERY_NONE).open()).leave()
    coordinator = (await describe(cluster, 1)).coordinator
    own, other = (node for node in cluster.nodes if node != coordinator)
    stays = await ThinMember(cluster, other, delivery=group_pb2.DELIVERY_NONE).open()
    await stays.take_until_held(PARTITIONS)
    goes = await ThinMember(cluster, own, delivery=group_pb2.DELIVERY_NONE).open()
    await asyncio.gather(stays.take_until_held(PARTITIONS // 2), goes.take_until_held(PARTITIONS // 2))
    cluster.cut(coordinator, own, both=False)
    leaving = asyncio.create_task(goes.leave())
    await stays.take_until_held(PARTITIONS)
    generation = (await describe(cluster, other)).generation
    assert not leaving.done()
    topic = groups_topic(cluster.running[other].broker)
    assert topic is not None
    home = cluster.running[coordinator].broker.running[home_of(topic, "g")]
    await home.ref.tell(TransferLeadership(NodeId(other)))
    await leaving
    group = await describe(cluster, other)

    assert (other, generation, 1) == (group.coordinator, group.generation, len(group.members))


def said(cluster: SimCluster) -> int:
    """How many entries the groups' partitions have."""
    broker = cluster.running[1].broker
    topic = groups_topic(broker)
    assert topic is not None
    return sum(
        running.replica.log.last_index for partition, running in broker.running.items() if partition.topic == topic.id
    )


@in_a_cluster
async def test_who_commits_and_never_reads_is_not_read_either(cluster: SimCluster) -> None:
    """The answers wait for it at its node, but never more than it may have without an answer."""
    member = await ThinMember(cluster, 1, delivery=group_pb2.DELIVERY_NONE).open()
    await member.take_until_held(PARTITIONS)
    held = group_pb2.Held(topic=TOPIC, partition=0, generation=member.held[0])
    request = group_pb2.SubscribeRequest(commit=group_pb2.Commit(correlation=1))
    request.commit.positions.add(held=held, position=1)

    async def commit_on() -> None:
        for _ in range(1_000):
            await member.say(request)

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(commit_on(), 60)


@in_a_cluster
async def test_a_topic_that_is_gone_does_not_come_back_with_a_new_coordinator(cluster: SimCluster) -> None:
    """The member's node still names it when it attaches again: nothing of it is given to anybody."""
    client = cluster.client("admin")
    await client.create_topic("other", partitions=2, replicas=3)
    member = await ThinMember(cluster, 1, topics=[TOPIC, "other"], delivery=group_pb2.DELIVERY_NONE).open()
    taking = asyncio.create_task(member.take_on())
    await asyncio.sleep(GRACE_S)
    gone = cluster.running[1].broker.directory.topic("other").id
    await client.delete_topic("other")
    await asyncio.sleep(1)
    assert gone not in topics_held(cluster)
    coordinator = (await describe(cluster, 1)).coordinator
    if coordinator != 1:
        cluster.crash(coordinator)
        await asyncio.sleep(GRACE_S)
    else:
        topic = groups_topic(cluster.running[1].broker)
        assert topic is not None
        home = home_of(topic, "g")
        await cluster.running[1].broker.running[home].ref.tell(TransferLeadership(NodeId(2)))
        await asyncio.sleep(1)

    assert gone not in topics_held(cluster)
    assert not taking.done()
    taking.cancel()
    await client.abandon()


def topics_held(cluster: SimCluster) -> set[TopicId]:
    """The topics of which the group's members hold something, as node 1 has it."""
    broker = cluster.running[1].broker
    topic = groups_topic(broker)
    assert topic is not None
    machine = broker.running[home_of(topic, "g")].replica.log.fold.machine
    assert isinstance(machine, Groups)
    return {partition.topic for partition in machine.by_name["g"].holdings}


@in_a_cluster
async def test_a_topic_that_goes_while_its_group_is_looked_at(cluster: SimCluster) -> None:
    """Described without it, or reset with a typed error: at whatever moment it goes."""
    client = cluster.client("admin")
    to = stream_pb2.Position(earliest=True)
    for number in range(12):
        name = f"gone-{number}"
        await client.create_topic(name, partitions=2, replicas=3)
        member = await ThinMember(cluster, 1, group=name, topics=[name], delivery=group_pb2.DELIVERY_NONE).open()
        await member.take_until_held(2)
        await member.leave()
        channel = thin_channel(cluster, 1 + number % 3)
        describing = group_pb2.DescribeGroupRequest(group=name).SerializeToString()
        resetting = group_pb2.ResetGroupRequest(group=name, topic=name, to=to).SerializeToString()
        deleting = asyncio.create_task(client.delete_topic(name))
        while not deleting.done():
            described, reset = await asyncio.gather(
                channel.call(DESCRIBE, describing, timeout_s=10),
                channel.call(RESET, resetting, timeout_s=10),
                return_exceptions=True,
            )
            assert not isinstance(described, BaseException), described
            parts = group_pb2.DescribeGroupResponse.FromString(described).group.partitions
            assert [part.topic for part in parts] in ([name] * 2, [])
            assert isinstance(reset, bytes | UnknownTopic | TopicDeleted | Unavailable), reset
            assert [] == cluster.fabric.failed
        await deleting
    await client.abandon()

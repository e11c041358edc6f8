"""Members of a group at any node: partitions come and go, positions stay, and what makes no sense is refused."""

import asyncio

import pytest

from cluster.broker.forwarding import FORWARDED
from cluster.errors import InvalidRequest, RiverrunError, UnknownGroup, UnknownTopic
from cluster.sim.cluster import SimCluster
from cluster.wire.api import group_pb2, stream_pb2
from tests.broker.groups.thin_member import ThinMember
from tests.broker.thin import PARTITIONS, RECORDS, TOPIC, in_a_cluster, thin_channel

pytestmark = pytest.mark.slow
DESCRIBE = "/riverrun.v1.GroupService/DescribeGroup"
RESET = "/riverrun.v1.GroupService/ResetGroup"
DELETE = "/riverrun.v1.GroupService/DeleteGroup"
LIST = "/riverrun.v1.GroupService/ListGroups"
GRACE_S = 5.0


async def describe(cluster: SimCluster, node: int, group: str = "g") -> group_pb2.Group:
    """The group as one node tells it."""
    request = group_pb2.DescribeGroupRequest(group=group).SerializeToString()
    answer = await thin_channel(cluster, node).call(DESCRIBE, request, timeout_s=10)
    return group_pb2.DescribeGroupResponse.FromString(answer).group


@in_a_cluster
async def test_one_member_reads_everything_and_the_next_begins_behind_it(cluster: SimCluster) -> None:
    """What was committed before it left is not delivered again."""
    member = await ThinMember(cluster, 1).open()
    await member.take_records(RECORDS)
    assert sorted(set(member.records)) == sorted(member.records)
    for number, position in member.position.items():
        assert "" == await member.commit(number, position)
    await member.leave()

    client = cluster.client("later")
    await client.publish(TOPIC, b"one more", key=b"k")
    other = await ThinMember(cluster, 2).open()
    await other.take_records(1)
    assert 1 == len(other.records)
    assert other.records[0] not in member.records
    await client.abandon()


@in_a_cluster
async def test_a_second_member_takes_half_and_nothing_is_delivered_twice(cluster: SimCluster) -> None:
    """Only what must move stops; a graceful hand-over redelivers nothing."""
    first = await ThinMember(cluster, 1).open()
    await first.take_records(RECORDS)
    second = await ThinMember(cluster, 2).open()
    await asyncio.gather(first.take_until_held(PARTITIONS // 2), second.take_until_held(PARTITIONS // 2))

    assert not set(first.held) & set(second.held)
    assert [] == second.records
    assert {number: first.position[number] for number in second.held} == second.position


@in_a_cluster
async def test_a_member_that_lost_its_stream_comes_back_at_another_node(cluster: SimCluster) -> None:
    """Within its grace it keeps everything; others get nothing meanwhile."""
    member = await ThinMember(cluster, 1).open()
    await member.take_until_held(PARTITIONS)
    generations = dict(member.held)
    member.break_stream()
    await asyncio.sleep(GRACE_S / 2)
    again = await ThinMember(cluster, 3, session=member.joined.session).open()

    assert member.joined.member == again.joined.member
    assert generations == {held.partition: held.generation for held in again.joined.held}
    await again.take_until_held(PARTITIONS)
    assert generations == again.held
    assert "" == await again.commit(0, 1)


@in_a_cluster
async def test_a_member_that_is_gone_is_let_go_after_its_grace(cluster: SimCluster) -> None:
    """Its partitions go to the others, at the committed positions; when it comes back it has lost them."""
    gone = await ThinMember(cluster, 1).open()
    await gone.take_records(RECORDS)
    assert "" == await gone.commit(2, 3)
    stays = await ThinMember(cluster, 2).open()
    gone.break_stream()
    await stays.take_until_held(PARTITIONS)

    assert {number: 3 if number == 2 else 0 for number in range(PARTITIONS)} == {
        number: position - sum(n == number for n, _ in stays.records) for number, position in stays.position.items()
    }
    again = await ThinMember(cluster, 3, session=gone.joined.session).open()
    assert gone.joined.member != again.joined.member
    assert [] == list(again.joined.held)
    assert "STALE_GENERATION" == await again.commit(2, 4, generation=gone.held[2])


@in_a_cluster
async def test_the_coordinators_node_dies(cluster: SimCluster) -> None:
    """Another one knows the members, who notice nothing; positions that were acknowledged are there."""
    member = await ThinMember(cluster, 1).open()
    await member.take_records(RECORDS)
    coordinator = (await describe(cluster, 2)).coordinator
    for number, position in member.position.items():
        assert "" == await member.commit(number, position)
    if coordinator == 1:  # then it was the member's node, too
        return
    generations = dict(member.held)
    cluster.crash(coordinator)
    assert "" == await member.commit(0, member.position[0])
    assert generations == member.held
    group = await describe(cluster, 1)

    assert coordinator != group.coordinator
    assert member.position == {part.partition: part.position for part in group.partitions}
    assert [True] == [known.connected for known in group.members]


@in_a_cluster
async def test_the_end_of_the_requests_is_a_farewell(cluster: SimCluster) -> None:
    """A client that says nothing more can commit nothing more: its partitions are free at once."""
    member = await ThinMember(cluster, 1).open()
    await member.take_until_held(PARTITIONS)
    await member.finish()
    begin_s = cluster.loop.now_s
    other = await ThinMember(cluster, 2).open()
    await other.take_until_held(PARTITIONS)

    assert cluster.loop.now_s - begin_s < GRACE_S / 2


@in_a_cluster
async def test_a_slow_member_holds_up_nobody(cluster: SimCluster) -> None:
    """It takes nothing; the other members get all of theirs, and its node holds a few messages for it."""
    slow = await ThinMember(cluster, 1).open()
    await slow.take_until_held(PARTITIONS)  # else it may have half of them on its way to all, and give none back
    quick = await ThinMember(cluster, 1).open()
    client = cluster.client("more")
    taking = asyncio.create_task(slow.take_until_held(PARTITIONS // 2))
    await quick.take_until_held(PARTITIONS // 2)
    await taking
    for number in range(200):
        await client.publish(TOPIC, b"x" * 10_000, key=b"%d" % number)
    ends = await client.offsets(TOPIC)
    while any(quick.position[number] < ends[number].end for number in quick.held):
        await quick.take()
    await client.abandon()


@in_a_cluster
async def test_who_does_not_commit_gets_so_much_and_goes_on_after_a_commit(cluster: SimCluster) -> None:
    """Each partition for itself, two records a message; to commit the same again, or less, changes nothing."""
    for delivery in (group_pb2.DELIVERY_RECORDS, group_pb2.DELIVERY_BATCHES):
        group = f"bounded-{delivery}"
        member = await ThinMember(cluster, 1, group=group, delivery=delivery, uncommitted_records_max=4).open()
        taking = asyncio.create_task(member.take_on())
        await asyncio.sleep(GRACE_S)
        ends = {part.partition: part.end for part in (await describe(cluster, 1, group)).partitions}
        assert {number: min(4, end) for number, end in ends.items()} == member.position
        full = max(ends, key=lambda number: ends[number])
        assert ends[full] >= 8
        for committed, delivered in ((2, 6), (3, 6), (3, 6), (1, 6), (4, 8)):
            assert "" == await commit_beside(member, full, committed)
            await asyncio.sleep(1)
            assert delivered == member.position[full]
        while member.position != ends:
            for number, position in list(member.position.items()):
                assert "" == await commit_beside(member, number, position)
        taking.cancel()
        member.break_stream()


@in_a_cluster
async def test_who_is_held_up_gives_back_and_leaves_as_others_do(cluster: SimCluster) -> None:
    """Whoever gets its partitions begins at the committed positions, and counts from there."""
    held_up = await ThinMember(cluster, 1, uncommitted_records_max=2).open()
    await held_up.take_records(2 * PARTITIONS)
    other = await ThinMember(cluster, 2, uncommitted_records_max=2).open()
    await asyncio.gather(held_up.take_until_held(PARTITIONS // 2), other.take_until_held(PARTITIONS // 2))
    for number in held_up.held:
        assert "" == await held_up.commit(number, 2)
    await held_up.finish()
    await other.take_until_held(PARTITIONS)
    await other.take_records(2 * PARTITIONS)

    assert {(number, offset) for number in range(PARTITIONS) for offset in (2, 3)} == set(other.records)


async def commit_beside(member: ThinMember, number: int, position: int) -> str:
    """A commit while somebody else takes what comes."""
    correlation = await member.say_commit(number, position)
    while correlation not in member.answers:
        member.news.clear()
        await member.news.wait()
    return member.answers[correlation]


@in_a_cluster
async def test_what_makes_no_sense_is_refused(cluster: SimCluster) -> None:
    """A typed error each; a wrong commit does not end the stream."""
    for wrong, error in (
        ({"group": ""}, InvalidRequest),
        ({"group": "a b"}, InvalidRequest),
        ({"topics": []}, InvalidRequest),
        ({"topics": ["nowhere"]}, UnknownTopic),
        ({"session": b"x" * 65}, InvalidRequest),
    ):
        with pytest.raises(error):
            await ThinMember(cluster, 1, **wrong).open()
    member = await ThinMember(cluster, 1).open()
    await member.take_until_held(PARTITIONS)
    assert "OFFSET_OUT_OF_RANGE" == await member.commit(0, 10_000)
    assert "STALE_GENERATION" == await member.commit(0, 1, generation=1)
    assert "INVALID_REQUEST" == await member.commit(0, -1)
    assert "" == await member.commit(0, 1)
    assert [(0, 10_000), (0, 1), (0, -1), (0, 1)] == member.answered
    await member.say(group_pb2.SubscribeRequest(join=group_pb2.Join(group="g", topics=[TOPIC])))
    with pytest.raises(RiverrunError, match="after its join"):
        await member.take_records(1_000_000)


@in_a_cluster
async def test_latest_is_fixed_when_the_group_first_comes(cluster: SimCluster) -> None:
    """Nothing that is published later is skipped, though nobody committed and the partitions moved."""
    member = await ThinMember(cluster, 1, start=stream_pb2.Position(latest=True)).open()
    await member.take_until_held(PARTITIONS)
    member.break_stream()
    client = cluster.client("more")
    for number in range(20):
        await client.publish(TOPIC, b"new", key=b"%d" % number)
    other = await ThinMember(cluster, 2, start=stream_pb2.Position(latest=True)).open()
    await other.take_records(20)

    assert 20 == len(set(other.records))
    await client.abandon()


@in_a_cluster
async def test_groups_are_listed_described_reset_and_deleted(cluster: SimCluster) -> None:
    """At any node; not while somebody is in them."""
    with pytest.raises(UnknownGroup):
        await describe(cluster, 1)
    member = await ThinMember(cluster, 1, client="tester").open()
    await member.take_records(RECORDS)
    await member.commit(1, 2)
    channel = thin_channel(cluster, 3)
    reset = group_pb2.ResetGroupRequest(group="g", topic=TOPIC, to=stream_pb2.Position(latest=True)).SerializeToString()
    for method, request in (
        (RESET, reset),
        (DELETE, group_pb2.DeleteGroupRequest(group="g").SerializeToString()),
    ):
        with pytest.raises(RiverrunError, match="has 1 members now"):
            await channel.call(method, request, timeout_s=10)
    listed = group_pb2.ListGroupsResponse.FromString(await channel.call(LIST, b"", timeout_s=10))
    assert [("g", "tester", True)] == [(g.name, g.members[0].client, g.members[0].connected) for g in listed.groups]
    group = await describe(cluster, 3)
    assert {number: 2 if number == 1 else 0 for number in range(PARTITIONS)} == {
        part.partition: part.position for part in group.partitions
    }
    assert RECORDS == sum(part.end for part in group.partitions)
    await member.finish()
    await member.end()
    assert [] == list((await describe(cluster, 2)).members)
    answer = group_pb2.ResetGroupResponse.FromString(await channel.call(RESET, reset, timeout_s=10))
    assert all(part.position == part.end for part in answer.partitions)
    await channel.call(DELETE, group_pb2.DeleteGroupRequest(group="g").SerializeToString(), timeout_s=10)
    with pytest.raises(UnknownGroup):
        await describe(cluster, 1)


@in_a_cluster
async def test_groups_are_listed_page_by_page(cluster: SimCluster) -> None:
    """All of them, each once, by name; no node is asked for more of its own than a page."""
    names = [f"g{number:02}" for number in range(20)]
    for number, name in enumerate(names):
        await (await ThinMember(cluster, 1 + number % 3, group=name, delivery=group_pb2.DELIVERY_NONE).open()).leave()
    listed: list[str] = []
    request = group_pb2.ListGroupsRequest(page_size=3)
    while not listed or request.page_token:
        asking = request.SerializeToString()
        for node in cluster.nodes:
            answer = await thin_channel(cluster, node).call(LIST, asking, timeout_s=10, metadata={FORWARDED: "1"})
            assert 3 >= len(group_pb2.ListGroupsResponse.FromString(answer).groups)
        page = group_pb2.ListGroupsResponse.FromString(await thin_channel(cluster, 2).call(LIST, asking, timeout_s=10))
        listed += [group.name for group in page.groups]
        request.page_token = page.next_page_token

    assert names == listed

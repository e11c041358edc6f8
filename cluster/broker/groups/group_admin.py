"""GroupService's other half: groups for people and tools. Answered where a group is kept; any node forwards."""

import asyncio
import contextlib
from collections.abc import Iterable, Sequence

from cluster.broker.broker import Broker
from cluster.broker.forwarding import Forwarding, is_forwarded
from cluster.broker.groups import commands
from cluster.broker.groups.coordinator import Coordinator
from cluster.broker.groups.group import Group
from cluster.broker.groups.home import check_name, decide, groups_topic, home_here, home_of
from cluster.broker.groups.state import Groups
from cluster.broker.read_service import ReadService
from cluster.broker.running import Running
from cluster.config import MIB, BrokerOptions
from cluster.errors import InvalidRequest, RiverrunError, TopicDeleted, Unavailable, UnknownGroup
from cluster.metadata import Topic
from cluster.types import Offset, PartitionId
from cluster.wire import api
from cluster.wire.api import group_pb2, stream_pb2
from cluster.world import Call, Clock

LIST = "/riverrun.v1.GroupService/ListGroups"
DESCRIBE = "/riverrun.v1.GroupService/DescribeGroup"
RESET = "/riverrun.v1.GroupService/ResetGroup"
DELETE = "/riverrun.v1.GroupService/DeleteGroup"
PAGE_GROUPS_MAX = 1_000
PAGE_BYTES_MAX = 4 * MIB
"""The group that reaches it is the last one of its page."""
NS_PER_MS = 1_000_000
MS_PER_S = 1_000


class GroupAdmin:
    """Handlers of ListGroups, DescribeGroup, ResetGroup and DeleteGroup."""

    def __init__(
        self,
        *,
        broker: Broker,
        coordinator: Coordinator,
        reading: ReadService,
        forwarding: Forwarding,
        clock: Clock,
        options: BrokerOptions,
    ) -> None:
        self._broker = broker
        self._coordinator = coordinator
        self._reading = reading
        self._forwarding = forwarding
        self._clock = clock
        self._options = options

    # --- all groups

    async def list_groups(self, data: bytes, call: Call) -> bytes:
        """See the proto. The page token is the last name of the page before; each node answers with a page of its."""
        request = api.parse(group_pb2.ListGroupsRequest, data)
        topic = groups_topic(self._broker)
        if topic is None:
            return group_pb2.ListGroupsResponse().SerializeToString()
        if is_forwarded(call):
            return self._page_here(topic, request).SerializeToString()
        await self._all_led(topic)
        pages = [self._page_here(topic, request)]
        pages += await asyncio.gather(*(self._ask(address, data, call) for address in self._others(topic)))
        return merged(pages, _count_max(request)).SerializeToString()

    async def _all_led(self, topic: Topic) -> None:
        """Wait until it is known who keeps each group; whoever lists too early is told by `_others`."""
        homes = [PartitionId(topic.id, placement.number) for placement in topic.partitions]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._options.barrier_wait_s_max):
                while not all(self._broker.leaders.get(home) for home in homes):
                    await self._broker.wait_leader_change()

    def _page_here(self, topic: Topic, request: group_pb2.ListGroupsRequest) -> group_pb2.ListGroupsResponse:
        found = []
        for placement in topic.partitions:
            home = PartitionId(topic.id, placement.number)
            running = self._broker.running.get(home)
            if running is not None and running.replica.raft.is_leader:
                groups = _state(running).by_name.items()
                found += [(name, home, group) for name, group in groups if name > request.page_token]
        found.sort(key=lambda item: item[0])
        return page((self._described(home, name, group) for name, home, group in found), _count_max(request))

    def _others(self, topic: Topic) -> set[str]:
        """The other nodes that keep groups; Unavailable while it is not known who keeps some of them."""
        found = set()
        for placement in topic.partitions:
            home = PartitionId(topic.id, placement.number)
            running = self._broker.running.get(home)
            if running is None or not running.replica.raft.is_leader:
                found.add(self._forwarding.leader_address(home))
        return found

    async def _ask(self, address: str, request: bytes, call: Call) -> group_pb2.ListGroupsResponse:
        answer = await self._forwarding.call(address, LIST, request, call)
        return group_pb2.ListGroupsResponse.FromString(answer)

    # --- one group

    async def describe_group(self, data: bytes, call: Call) -> bytes:
        """See the proto."""
        request = api.parse(group_pb2.DescribeGroupRequest, data)
        running, answer = await self._at_home(DESCRIBE, request.group, data, call)
        if running is None:
            return answer
        home, group = running.replica.partition, _state(running).by_name.get(request.group)
        if group is None:
            raise UnknownGroup(f"there is no group {request.group!r}")
        described = self._described(home, request.group, group)
        topics = self._broker.directory.topics
        found = [(topics[p.topic], p) for p in sorted({*group.positions, *group.holdings}) if p.topic in topics]
        described.partitions.extend(await asyncio.gather(*(self._partition(group, topic, p) for topic, p in found)))
        for (_, partition), part in zip(found, described.partitions, strict=True):
            self._tell_holder(home, request.group, group, partition, part)
        return group_pb2.DescribeGroupResponse(group=described).SerializeToString()

    async def reset_group(self, data: bytes, call: Call) -> bytes:
        """See the proto."""
        request = api.parse(group_pb2.ResetGroupRequest, data)
        if not request.HasField("to"):
            raise InvalidRequest("a reset says where to: `to` is missing")
        running, answer = await self._at_home(RESET, request.group, data, call)
        if running is None:
            return answer
        topic = self._broker.directory.topic(request.topic)
        numbers = list(dict.fromkeys(request.partitions)) or list(range(len(topic.partitions)))
        partitions = [self._broker.directory.partition(topic, number) for number in numbers]
        offsets = await asyncio.gather(*(self._reading.offsets_of(topic, n, request.to) for n in numbers))
        positions = [(p, Offset(found.at)) for p, found in zip(partitions, offsets, strict=True)]
        await decide(running, commands.Reset(request.group, positions))
        if topic.id in self._broker.directory.deleted:
            raise TopicDeleted(f"the topic {topic.name!r} was deleted meanwhile")
        group = _state(running).by_name.get(request.group, Group())
        return group_pb2.ResetGroupResponse(
            partitions=await asyncio.gather(*(self._partition(group, topic, p) for p in partitions))
        ).SerializeToString()

    async def delete_group(self, data: bytes, call: Call) -> bytes:
        """See the proto."""
        request = api.parse(group_pb2.DeleteGroupRequest, data)
        running, answer = await self._at_home(DELETE, request.group, data, call)
        if running is None:
            return answer
        await decide(running, commands.Delete(request.group))
        return group_pb2.DeleteGroupResponse().SerializeToString()

    async def _at_home(self, method: str, group: str, data: bytes, call: Call) -> tuple[Running | None, bytes]:
        """The replica here that keeps the group, known to be its leader; or the answer of the node that has it."""
        check_name(group)
        topic = groups_topic(self._broker)
        if topic is None:
            raise UnknownGroup(f"there is no group {group!r}")
        home = home_of(topic, group)
        running = self._broker.running.get(home)
        if running is not None and running.replica.raft.is_leader:
            await self._reading.confirmed_end(running)
            return running, b""
        if is_forwarded(call):
            return home_here(self._broker, group), b""
        return None, await self._forwarding.call(self._forwarding.leader_address(home), method, data, call)

    # --- what is shown

    def _described(self, home: PartitionId, name: str, group: Group) -> group_pb2.Group:
        names = {topic.id: topic.name for topic in self._broker.directory.topics.values()}
        return group_pb2.Group(
            name=name,
            coordinator=self._broker.me,
            generation=group.generation,
            members=[
                group_pb2.Member(
                    id=number,
                    client=member.client,
                    topics=sorted(names[topic] for topic in member.topics if topic in names),
                    connected=self._coordinator.is_connected(home, name, number),
                    grace_left_ms=_ms(self._coordinator.grace_left_s(home, name, number)),
                )
                for number, member in group.members.items()
            ],
        )

    def _tell_holder(
        self, home: PartitionId, name: str, group: Group, partition: PartitionId, part: group_pb2.GroupPartition
    ) -> None:
        """How its holder does: one that has taken over meanwhile is another one."""
        holding = group.holdings.get(partition)
        if holding is None or (holding.member, holding.generation) != (part.member, part.generation):
            return
        part.asked_back = holding.asked_back
        quiet_ms = _ms(self._coordinator.quiet_s(home, name, holding.member, partition))
        if quiet_ms is not None:
            part.quiet_ms = quiet_ms

    async def _partition(self, group: Group, topic: Topic, partition: PartitionId) -> group_pb2.GroupPartition:
        """`topic` as it was when it was looked up: it may be gone by the time that this is carried out."""
        holding, position = group.holdings.get(partition), group.positions.get(partition)
        found = group_pb2.GroupPartition(
            topic=topic.name,
            partition=partition.number,
            member=holding.member if holding is not None else 0,
            generation=holding.generation if holding is not None else 0,
            position=position,
        )
        at = stream_pb2.Position(offset=position) if position is not None else stream_pb2.Position(earliest=True)
        try:
            async with asyncio.timeout(self._options.barrier_wait_s_max):
                offsets = await self._reading.offsets_of(topic, partition.number, at)
        except (RiverrunError, TimeoutError):
            return found  # its leader does not answer now
        found.end = offsets.end
        appended_ns = offsets.at_append_time_ns if offsets.HasField("at_append_time_ns") else 0
        found.lag_ms = max(self._clock.wall_ns() - appended_ns, 0) // NS_PER_MS if appended_ns else 0
        return found


def page(groups: Iterable[group_pb2.Group], count_max: int) -> group_pb2.ListGroupsResponse:
    """The first of these, which come by name: at most so many, and no more once they have PAGE_BYTES_MAX."""
    answer, size = group_pb2.ListGroupsResponse(), 0
    for group in groups:
        if len(answer.groups) == count_max or size >= PAGE_BYTES_MAX:
            answer.next_page_token = answer.groups[-1].name
            break
        answer.groups.append(group)
        size += group.ByteSize()
    return answer


def merged(pages: Sequence[group_pb2.ListGroupsResponse], count_max: int) -> group_pb2.ListGroupsResponse:
    """One page of several nodes': nothing behind the end of a page that does not say what comes next."""
    ends = [answer.next_page_token for answer in pages if answer.next_page_token]
    found = sorted((group for answer in pages for group in answer.groups), key=lambda group: group.name)
    known = [group for group in found if not ends or group.name <= min(ends)]
    answer = page(known, count_max)
    if ends and not answer.next_page_token:
        answer.next_page_token = min(ends)
    return answer


def _ms(seconds: float | None) -> int | None:
    return None if seconds is None else int(seconds * MS_PER_S)


def _count_max(request: group_pb2.ListGroupsRequest) -> int:
    return min(request.page_size or PAGE_GROUPS_MAX, PAGE_GROUPS_MAX)


def _state(running: Running) -> Groups:
    machine = running.replica.log.fold.machine
    if not isinstance(machine, Groups):
        raise Unavailable("the groups' topic is still being made")
    return machine

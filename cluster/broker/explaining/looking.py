"""A node looks at itself: its replicas, its disk, its loop, whom it hears. It only looks; what it costs is a look.

How late the loop is, is measured all the time, by a timer that should come four times a second.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Iterable

from cluster.broker.broker import Broker
from cluster.broker.replica import Replica
from cluster.broker.running import Running
from cluster.config import ExplainOptions
from cluster.errors import RiverrunError
from cluster.log import Writer
from cluster.metadata import Placement, Topic
from cluster.raft.progress import Progress, State
from cluster.types import NodeId, Offset, PartitionId, ReplicaId
from cluster.wire.api import explain_pb2
from cluster.world import Clock, Disk

MS_PER_S = 1_000
NS_PER_MS = 1_000_000
TIMER_S = 0.25
KEPT_S = 10.0
FREE_WAIT_S = 0.25
"""A disk that is busy for longer is not asked how much room it has."""


class Looking:
    """Of one node. `is_up`: whether the links to another one work.

    `controller`: where decisions are made, if that is heard; `quorum`: the nodes of which it needs a majority.
    """

    def __init__(
        self,
        *,
        broker: Broker,
        writer: Writer,
        disk: Disk,
        clock: Clock,
        is_up: Callable[[NodeId], bool],
        controller: Callable[[], NodeId | None],
        quorum: Callable[[], Collection[NodeId]],
        options: ExplainOptions,
    ) -> None:
        self._broker = broker
        self._writer = writer
        self._disk = disk
        self._clock = clock
        self._is_up = is_up
        self._controller = controller
        self._quorum = quorum
        self._options = options
        self._late_s: deque[tuple[float, float]] = deque(maxlen=int(KEPT_S / TIMER_S))

    async def run(self) -> None:
        """Measure the loop, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due_s = loop.time() + TIMER_S
            await asyncio.sleep(TIMER_S)
            self._late_s.append((loop.time(), loop.time() - due_s))

    async def look(self, request: explain_pb2.LookAtNodeRequest) -> explain_pb2.NodeLook:
        """Now. A partition that nobody knows here is not in the answer."""
        broker = self._broker
        disk = await self._look_at_disk()
        look = explain_pb2.NodeLook(
            node=broker.me,
            wall_ns=self._clock.wall_ns(),
            hears=[node for node in sorted(broker.directory.nodes) if node != broker.me and self._is_up(node)],
            controller=self._controller() or 0,
            quorum=sorted(self._quorum()),
            metadata_version=broker.directory.version,
            loop_late_ms=self._loop_late_ms(),
            disk=disk,
            replicas=len(broker.running),
            leading=sum(running.replica.raft.is_leader for running in broker.running.values()),
        )
        for wanted in request.partitions:
            topic = broker.directory.by_name.get(wanted.topic)
            if topic is not None and wanted.partition < len(topic.partitions):
                look.looks.append(self._look_at(topic, topic.partitions[wanted.partition]))
        if request.all_that_wait:
            look.looks.extend(self._all_that_wait())
        return look

    # --- the machine

    def _loop_late_ms(self) -> int:
        now_s = asyncio.get_running_loop().time()
        return int(max((late_s for at_s, late_s in self._late_s if now_s - at_s <= KEPT_S), default=0.0) * MS_PER_S)

    async def _look_at_disk(self) -> explain_pb2.DiskLook:
        look, timing, now_s = explain_pb2.DiskLook(), self._writer.timing, self._clock.monotonic_s()
        took_s, under_way_s = timing.took_s(now_s), timing.under_way_s(now_s)
        if took_s is not None:
            look.usual_write_ms, look.longest_write_ms = (int(part_s * MS_PER_S) for part_s in took_s)
        if under_way_s is not None:
            look.under_way_ms = int(under_way_s * MS_PER_S)
        if any(running.replica.log.full for running in self._broker.running.values()):
            look.full_ms = int(timing.full_s(now_s) * MS_PER_S)
        try:
            async with asyncio.timeout(FREE_WAIT_S):
                look.free_bytes = await self._disk.run(self._disk.free_bytes)
        except TimeoutError:
            pass  # it is slow, and that is told
        return look

    # --- replicas

    def _all_that_wait(self) -> Iterable[explain_pb2.ReplicaLook]:
        """The first so many."""
        found: list[explain_pb2.ReplicaLook] = []
        for topic in self._broker.directory.topics.values():
            for placement in topic.partitions:
                if len(found) == self._options.looks_max:
                    return found
                if any(replica.node == self._broker.me for replica in placement.running):
                    look = self._look_at(topic, placement)
                    if self._waits(look):
                        found.append(look)
        return found

    def _waits(self, look: explain_pb2.ReplicaLook) -> bool:
        followers = any(one.behind_entries or one.reinstalling for one in look.followers)
        standing = look.role and look.leader and look.may_vote and not look.recovering and not look.doubtful
        return not standing or look.disk_full or look.HasField("uncommitted_ms") or followers

    def _look_at(self, topic: Topic, placement: Placement) -> explain_pb2.ReplicaLook:
        broker = self._broker
        partition = PartitionId(topic.id, placement.number)
        look = explain_pb2.ReplicaLook(topic=topic.name, partition=placement.number)
        running = broker.running.get(partition)
        if running is not None:
            self._describe(running, look)
            return look
        here = next((replica for replica in placement.running if replica.node == broker.me), None)
        if here is not None:
            look.replica, look.lost = here.replica, broker.reports.is_lost(here.replica)
        return look

    def _describe(self, running: Running, look: explain_pb2.ReplicaLook) -> None:
        replica, raft, log = running.replica, running.replica.raft, running.replica.log
        look.replica, look.role, look.term = replica.me, raft.role.value, raft.term
        look.leader = self._broker.me if raft.is_leader else replica.leader_node or 0
        look.last_index, look.durable_index, look.commit = raft.last_index, raft.durable_index, raft.commit
        look.first_offset, look.end_offset = log.start_offset, replica.readers.end
        look.may_vote, look.recovering, look.doubtful = raft.may_vote, raft.recovering, bool(raft.doubts)
        look.disk_full, look.unwritten_bytes = log.full, log.pending.bytes
        membership = raft.membership
        look.voters.extend(sorted(member.node for member in membership.voters))
        look.learners.extend(member.replica for member in membership.learners)
        look.joint = membership.joint
        if raft.is_leader:
            waited_ms = self._since_ms(replica, replica.readers.end)
            if waited_ms is not None:
                look.uncommitted_ms = waited_ms
            look.followers.extend(self._follower(replica, *item) for item in sorted(raft.progress.items()))

    def _follower(self, replica: Replica, number: ReplicaId, progress: Progress) -> explain_pb2.FollowerLook:
        log = replica.log
        node = replica.peers.node_of(number) or NodeId(0)
        look = explain_pb2.FollowerLook(
            node=node,
            replica=number,
            behind_entries=max(log.last_index - progress.match, 0),
            behind_bytes=log.bytes_after(progress.match),
            reinstalling=progress.state is State.INSTALL or progress.beginning is not None,
            silent=progress.silent,
            link_up=self._is_up(node),
            learner=any(member.replica == number for member in replica.raft.membership.learners),
        )
        if look.behind_entries:
            waited_ms = self._since_ms(replica, log.end_offset_at(progress.match))
            if waited_ms is not None:
                look.behind_ms = waited_ms
        return look

    def _since_ms(self, replica: Replica, offset: Offset) -> int | None:
        """How long ago the record at `offset`, or the first one that is left, was appended; None: it is not there."""
        log = replica.log
        offset = max(offset, log.start_offset)
        if offset >= log.end_offset:
            return None
        try:
            appended_ns = log.append_time_ns(offset)
        except RiverrunError:
            return None
        return max(self._clock.wall_ns() - appended_ns, 0) // NS_PER_MS

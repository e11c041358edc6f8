"""The broker of a node: makes what runs here equal to what the controller assigned here, and passes messages on.

Reconciling rules (absence never deletes):
- a placement on this node whose log exists is opened; its votes wait for the controller's record;
- one that was never recorded as initialised is created, then reported as initialised;
- one that was recorded, but whose log is not here or lost its vote, is reported as lost (see `opening`);
- a replica of a topic that the controller deleted is stopped and its directory removed;
- a directory that nobody assigned stays where it is.

All ticks of a node come from one timer. A replica gets a turn for them only when they make it do something, so one
that follows a live leader, or sleeps, costs nothing. When the link to a node comes or goes, every group with a replica
there looks again.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from functools import partial

import structlog

from cluster.actor import Supervisor
from cluster.broker.catch_up import CatchUp
from cluster.broker.compaction.compactor import Compactor
from cluster.broker.directory import Directory
from cluster.broker.leaders import LeaderTable
from cluster.broker.opening import REPLICAS, Missing, directory_of, open_or_create
from cluster.broker.replica import Replica
from cluster.broker.reports import Reports
from cluster.broker.requests import AllowVote, Configure, FromPeer, Tick, TransferLeadership
from cluster.broker.running import Running
from cluster.broker.surroundings import Pulse, Surroundings
from cluster.config import BrokerOptions, LogOptions, RaftOptions
from cluster.errors import Closed, DiskFull, Overloaded, RiverrunError
from cluster.log import Log, MachineOf, Recovery, ReplicaIdentity, Writer
from cluster.metadata import Delta, Placement, Report, Topic
from cluster.raft import Member, Membership
from cluster.types import ClusterId, NodeId, PartitionId, TopicId
from cluster.wire.peer import ReplicaEnvelope
from cluster.world import World

log_event = structlog.get_logger()
STARTED_TOGETHER_MAX = 64
"""Replicas whose files are opened or made in one piece of disk work: others' writes wait meanwhile."""
RETRY_S = 1.0
"""What the disk had no room for is tried again so often."""
TICK = Tick()


class Broker:
    """Runs the replicas of one node. All its methods are called on the node's own loop."""

    def __init__(
        self,
        *,
        me: NodeId,
        cluster: ClusterId,
        world: World,
        supervisor: Supervisor,
        writer: Writer,
        send: Callable[[NodeId, ReplicaEnvelope], object],
        tell_all: Callable[[Report], None],
        raft: RaftOptions,
        log: LogOptions,
        options: BrokerOptions,
        replica_class: type[Replica] = Replica,
        machine_of_topic: Callable[[str], MachineOf | None] = lambda _: None,
    ) -> None:
        self.me = me
        self.directory = Directory()
        self.leaders = LeaderTable()
        self.running: dict[PartitionId, Running] = {}
        self.reports = Reports(me)
        self._report_due = asyncio.Event()
        self.reports.on_change = self._report_due.set
        self._deltas: asyncio.Queue[Delta] = asyncio.Queue()
        self._cluster, self._world = cluster, world
        self._supervisor, self._tell_all = supervisor, tell_all
        self._log_options = log
        self._options = options
        self._replica_class = replica_class
        self._machine_of_topic = machine_of_topic
        self.on_started: list[Callable[[Running], None]] = []
        """Told of a replica that runs now, before its first turn."""
        self.on_folded: list[Callable[[Replica], None]] = []
        """Told when the commit, or who leads, has changed in a partition that folds into a state."""
        self.on_membership: list[Callable[[Replica], None]] = []
        """Told by a leader when its partition's committed membership, or how far its learners are, has changed."""
        self.on_deleted: list[Callable[[TopicId], Awaitable[None]]] = []
        """Told of a topic that is gone for good; its replicas' files go when they have let go of them."""
        self.on_metadata: list[Callable[[], None]] = []
        """Told when the directory has changed."""
        self._leader_changed = asyncio.Event()
        self._up: set[NodeId] = set()
        self._pulse = Pulse()
        self._around = Surroundings(
            clock=world.clock,
            random=world.random,
            writer=writer,
            send=send,
            on_leader=self._on_leader,
            address_of=self.directory.client_address,
            is_up=self._up.__contains__,
            pulse=self._pulse,
            on_folded=self._on_folded,
            on_membership=self._on_membership,
            catch_up=CatchUp(bytes_per_s_max=options.catch_up_bytes_per_s_max, tick_s=options.tick_s),
            producer_lives=self.directory.is_task_producer,
            raft=raft,
            broker=options,
        )
        self._compactor = Compactor(running=self.running, disk=world.disk, options=options, log=log)

    # --- from the node

    def start(self) -> None:
        """Begin to reconcile, tick and report."""
        self._supervisor.spawn_task(self._reconcile_all(), name="broker/reconcile")
        self._supervisor.spawn_task(self._tick_all(), name="broker/tick")
        self._supervisor.spawn_task(self._report_changes(), name="broker/report")
        self._supervisor.spawn_task(self._compactor.run(), name="broker/compact")

    def apply(self, delta: Delta) -> None:
        """The controller decided something."""
        self._deltas.put_nowait(delta)

    def on_peer_message(self, envelope: ReplicaEnvelope, node: NodeId) -> None:
        """A Raft message for a replica here. A full mailbox loses it, as a network would: Raft sends it again."""
        running = self.running.get(envelope.partition)
        if running is not None:
            try:
                running.ref.tell_nowait(FromPeer(envelope, node))
            except Overloaded:
                log_event.warning("mailbox_full", partition=str(envelope.partition))

    def on_report(self, report: Report) -> None:
        """Another node tells what it leads."""
        self.leaders.take(report)
        self._leader_changed.set()

    def on_peer_up(self, node: NodeId) -> None:
        """A link came up: tell everything, and let groups with a replica there look again."""
        self._up.add(node)
        self.reports.want_full()
        self._wake_groups_of(node)

    def on_peer_down(self, node: NodeId) -> None:
        """A link was lost."""
        self._up.discard(node)
        self.leaders.forget_node(node)
        self._wake_groups_of(node)

    def transfer(self, partition: PartitionId, node: NodeId) -> None:
        """The controller would rather see `node` lead. A full mailbox loses it: it is asked for again."""
        running = self.running.get(partition)
        if running is not None and running.replica.raft.is_leader:
            with contextlib.suppress(Overloaded):
                running.ref.tell_nowait(TransferLeadership(node))

    async def wait_leader_change(self) -> None:
        """Return when the table of leaders may have changed since the call."""
        self._leader_changed.clear()
        await self._leader_changed.wait()

    # --- replicas' side

    def _on_leader(self, replica: Replica) -> None:
        partition, raft = replica.partition, replica.raft
        if raft.is_leader:
            log_event.info("leader_elected", partition=str(partition), term=raft.term, node=self.me, replica=raft.me)
            self.reports.leads(partition, raft.term)
            self.leaders.note(partition, self.me, raft.term)
        else:
            self.reports.resigns(partition)
            self.leaders.resigned(partition, self.me)
            node = replica.leader_node
            if node is not None:
                log_event.debug(
                    "leader_followed",
                    partition=str(partition),
                    term=raft.term,
                    node=self.me,
                    replica=raft.me,
                    leader=node,
                )
                self.leaders.note(partition, node, raft.term)
        self._leader_changed.set()

    def _on_membership(self, replica: Replica) -> None:
        for listener in self.on_membership:
            listener(replica)

    def _on_folded(self, replica: Replica) -> None:
        for listener in self.on_folded:
            listener(replica)

    def _wake_groups_of(self, node: NodeId) -> None:
        self._pulse.links += 1
        for running in self.running.values():
            if running.replica.has_member_on(node):
                self._give_turn(running)

    async def _tick_all(self) -> None:
        while True:
            await asyncio.sleep(self._options.tick_s)
            self._pulse.ticks += 1
            for running in list(self.running.values()):
                if running.replica.due_tick <= self._pulse.ticks:
                    self._give_turn(running)

    @staticmethod
    def _give_turn(running: Running) -> None:
        if not running.ref.waiting:  # otherwise it has one before it
            with contextlib.suppress(Closed):  # the node stops, one actor after the other
                running.ref.tell_nowait(TICK)

    async def _report_changes(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self._options.report_interval_s):
                    await self._report_due.wait()
            except TimeoutError:
                if not self.reports.unrecorded:
                    continue
            self._report_due.clear()
            self._tell_all(self.reports.take(self.directory.version))
            await asyncio.sleep(self._options.tick_s)  # what changes together is told together

    # --- reconciling

    async def _reconcile_all(self) -> None:
        missing: dict[PartitionId, Missing] = {}
        while True:
            try:
                async with asyncio.timeout(RETRY_S if missing else None):
                    delta = await self._deltas.get()
            except TimeoutError:
                pass
            else:
                self.directory.apply(delta)
                for topic_id in delta.deleted:
                    self.leaders.forget_topic(topic_id)
                    for listener in self.on_deleted:
                        await listener(topic_id)
                    await self._remove(topic_id)
                    missing = {key: item for key, item in missing.items() if key.topic != topic_id}
                for topic in delta.topics:
                    for placement in topic.partitions:
                        partition = PartitionId(topic.id, placement.number)
                        item = await self._reconcile(partition, placement, topic)
                        if item is not None:
                            missing[partition] = item
                for told in self.on_metadata:
                    told()
            missing = {item.partition: item for item in await self._start_replicas(list(missing.values()))}
            self._leader_changed.set()

    async def _reconcile(self, partition: PartitionId, placement: Placement, topic: Topic) -> Missing | None:
        """Tell a replica that runs what changed for it; one that should run and does not is returned."""
        assigned = next((replica for replica in placement.replicas if replica.node == self.me), None)
        if assigned is None:
            return None  # moving replicas away comes with membership changes; until then nothing is ever taken away
        running = self.running.get(partition)
        if running is None:
            identity = ReplicaIdentity(cluster=self._cluster, partition=partition, replica=assigned.replica)
            membership = Membership(
                voters=tuple(Member(replica=item.replica, node=item.node) for item in placement.replicas)
            )
            preferred = placement.preferred_leader == self.me
            return Missing(
                assigned,
                directory_of(partition, assigned),
                identity,
                membership,
                preferred,
                topic.config,
                self._machine_of_topic(topic.name),
            )
        if assigned.initialised and not running.assigned.initialised:
            running.assigned = assigned
            self.reports.recorded(assigned.replica)
            await running.ref.tell(AllowVote(soon=running.preferred))
        if topic.config != running.config:
            running.config = topic.config
            await running.ref.tell(Configure(topic.config))
        return None

    async def _start_replicas(self, missing: list[Missing]) -> list[Missing]:
        """Open or create their logs, so many together that their syncs are shared; what the disk has no room for."""
        left: list[Missing] = []
        for first in range(0, len(missing), STARTED_TOGETHER_MAX):
            some = missing[first : first + STARTED_TOGETHER_MAX]
            opened = await self._world.disk.run(partial(open_or_create, self._world.disk, some, self._log_options))
            for item, log in zip(some, opened, strict=True):
                if isinstance(log, DiskFull):
                    left.append(item)
                elif isinstance(log, RiverrunError):
                    log_event.error(
                        "replica_lost", partition=str(item.partition), reason=log.reason, detail=log.message
                    )
                    self.reports.lost(item.assigned.replica)
                else:
                    self._run_replica(item, log)
        return left

    def _run_replica(self, item: Missing, log: Log) -> None:
        assigned = item.assigned
        _tell_damage(item.partition, log.recovered)
        replica = self._replica_class(
            partition=item.partition, me=assigned.replica, log=log, may_vote=assigned.initialised, around=self._around
        )
        replica.configure(item.config)
        ref = self._supervisor.spawn(replica, mailbox_max=self._options.mailbox_messages_max)
        running = Running(assigned, replica, ref, preferred=item.preferred, config=item.config)
        self.running[item.partition] = running
        log_event.debug(
            "replica_started",
            partition=str(item.partition),
            term=replica.raft.term,
            node=self.me,
            replica=assigned.replica,
        )
        for listener in self.on_started:
            listener(running)
        if not assigned.initialised:
            self.reports.initialised(assigned.replica)

    async def _remove(self, topic: TopicId) -> None:
        for partition in [partition for partition in self.running if partition.topic == topic]:
            running = self.running.pop(partition)
            self.reports.resigns(partition)
            await running.ref.stop()
        await self._world.disk.run(lambda: self._remove_directories(topic))

    def _remove_directories(self, topic: TopicId) -> None:
        path = f"{REPLICAS}/{topic.hex()}"
        if self._world.disk.list(path):
            self._world.disk.remove(path)
            self._world.disk.sync_directory(REPLICAS)


def _tell_damage(partition: PartitionId, found: Recovery) -> None:
    """What a restart has found wrong with a replica's files; a torn end is no damage, but may be one."""
    if found.quarantined or found.recovering:
        log_event.error("log_damaged", partition=str(partition), set_aside=found.quarantined)
    if found.doubts:
        log_event.warning("log_doubtful", partition=str(partition), first=found.doubts[0][0], last=found.doubts[-1][0])
    if found.vote_damaged:
        log_event.error("vote_damaged", partition=str(partition))

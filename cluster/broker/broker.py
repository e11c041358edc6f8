"""The broker of a node: makes what runs here equal to what the controller assigned here, and passes messages on.

`reconciling` has the rules of what runs.

All ticks of a node come from one timer. A replica gets a turn for them only when they make it do something, so one
that follows a live leader, or sleeps, costs nothing. When the link to a node comes or goes, every group with a replica
there looks again.
"""

import asyncio
import contextlib
from collections.abc import Callable

import structlog

from cluster.actor import Supervisor
from cluster.broker.catch_up import CatchUp
from cluster.broker.compaction.compactor import Compactor
from cluster.broker.directory import Directory
from cluster.broker.leaders import LeaderTable
from cluster.broker.opening import Missing
from cluster.broker.reconciling import Reconciling
from cluster.broker.replica import Replica
from cluster.broker.reports import Reports
from cluster.broker.requests import FromPeer, Tick, TransferLeadership
from cluster.broker.running import Running
from cluster.broker.surroundings import Pulse, Surroundings
from cluster.config import BrokerOptions, LogOptions, RaftOptions
from cluster.errors import Closed, Overloaded
from cluster.log import Log, MachineOf, Recovery, Writer
from cluster.metadata import Delta, Report, ReportedMembership
from cluster.meters import Meters
from cluster.raft import Role
from cluster.types import ClusterId, NodeId, PartitionId
from cluster.wire.peer import ReplicaEnvelope
from cluster.world import World

log_event = structlog.get_logger()
TICK = Tick()


class Broker:
    """Runs the replicas of one node. All its methods are called on the node's own loop."""

    reconciled = False
    """Whether what was assigned here when this node heard of it first was opened, or was looked for."""

    def __init__(
        self,
        *,
        me: NodeId,
        cluster: ClusterId,
        world: World,
        supervisor: Supervisor,
        writer: Writer,
        send: Callable[[NodeId, ReplicaEnvelope], object],
        come_ns: Callable[[], int],
        tell_all: Callable[[Report], None],
        raft: RaftOptions,
        log: LogOptions,
        options: BrokerOptions,
        replica_class: type[Replica] = Replica,
        machine_of_topic: Callable[[str], MachineOf | None] = lambda _: None,
        meters: Meters,
    ) -> None:
        self.me = me
        self.directory = Directory()
        self.leaders = LeaderTable(self.directory.deleted)
        self.running: dict[PartitionId, Running] = {}
        self.reports = Reports(me)
        self._report_due = asyncio.Event()
        self.reports.on_change = self._report_due.set
        self._cluster, self._world, self._supervisor, self._tell_all = cluster, world, supervisor, tell_all
        self._log_options, self._options, self.meters, self._replica_class = log, options, meters, replica_class
        self.on_started: list[Callable[[Running], None]] = []
        """Told of a replica that runs now, before its first turn."""
        self.on_folded: list[Callable[[Replica], None]] = []
        """Told when the commit, or who leads, has changed in a partition that folds into a state."""
        self._reconciling = Reconciling(self, cluster, world.disk, log, machine_of_topic, run=self._run_replica)
        self.on_deleted = self._reconciling.on_deleted
        """Told of a topic that is gone, or a partition that has left; its files go when they have let go of them."""
        self.on_dropped = self._reconciling.on_dropped
        self.on_metadata = self._reconciling.on_metadata
        """Told when the directory has changed."""
        self._leader_changed = asyncio.Event()
        self._up: set[NodeId] = set()
        self._pulse = Pulse()
        self._around = Surroundings(
            clock=world.clock,
            come_ns=come_ns,
            random=world.random,
            writer=writer,
            me=me,
            send=send,
            on_leader=self._on_leader,
            address_of=self.directory.client_address,
            is_up=self._up.__contains__,
            leaving=self.leaders.leaving,
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
        self._supervisor.spawn_task(self._reconciling.run(), name="broker/reconcile")
        self._supervisor.spawn_task(self._tick_all(), name="broker/tick")
        self._supervisor.spawn_task(self._report_changes(), name="broker/report")
        self._supervisor.spawn_task(self._compactor.run(), name="broker/compact")

    def apply(self, delta: Delta) -> None:
        """The controller decided something."""
        self._reconciling.deltas.put_nowait(delta)

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

    def leave(self) -> None:
        """Take no leadership over from now on, for this node is about to stop, and tell the others so."""
        self.leaders.leaving.add(self.me)
        self.reports.leaves()

    def transfer(self, partition: PartitionId, node: NodeId) -> None:
        """`node` had better lead, unless it is about to stop. A full mailbox loses it: it is asked for again."""
        running = self.running.get(partition)
        if running is not None and running.replica.raft.is_leader and node not in self.leaders.leaving:
            with contextlib.suppress(Overloaded):
                running.ref.tell_nowait(TransferLeadership(node))

    def may_transfer(self, partition: PartitionId, node: NodeId, *, behind_s_max: float) -> bool:
        """Whether `node` could take over at once what is led here: it has nearly all, and nobody was just asked to.

        Who was asked has its time for that; then this node leads on.
        """
        running = self.running.get(partition)
        if running is None or not running.replica.raft.is_leader or running.replica.raft.transferee is not None:
            return False
        return running.replica.behind_s(node) <= behind_s_max

    async def wait_leader_change(self) -> None:
        """Return when the table of leaders may have changed since the call."""
        self._leader_changed.clear()
        await self._leader_changed.wait()

    def leader_elsewhere(self, partition: PartitionId) -> NodeId | None:
        """Another node that leads it, as far as this one has heard: from the replica here, else from reports."""
        running = self.running.get(partition)
        node = running.replica.leader_node if running is not None else None
        if node is None or node == self.me:
            believed = self.leaders.get(partition)
            node = believed.node if believed is not None else None
        return node if node != self.me else None

    def leaders_may_have_changed(self) -> None:
        """Whoever waits for that looks again."""
        self._leader_changed.set()

    # --- replicas' side

    def _on_leader(self, replica: Replica) -> None:
        partition, raft = replica.partition, replica.raft
        self.meters.elections += raft.role is Role.CANDIDATE
        if raft.is_leader:
            self.meters.leader_changes += 1
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
        standing = replica.changing.standing()
        if standing is None:
            return
        membership = standing.membership
        self.reports.membership(
            replica.partition,
            ReportedMembership(
                index=standing.index,
                term=replica.raft.term,
                voters=membership.ids(),
                learners=tuple(member.replica for member in membership.learners),
                joint=membership.joint,
                behind_bytes=standing.behind_bytes,
                version=membership.version,
            ),
        )

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

    def _run_replica(self, item: Missing, log: Log) -> Running:
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
        return running


def _tell_damage(partition: PartitionId, found: Recovery) -> None:
    """What a restart has found wrong with a replica's files; a torn end is no damage, but may be one."""
    if found.quarantined or found.recovering:
        log_event.error("log_damaged", partition=str(partition), set_aside=found.quarantined)
    if found.doubts:
        first, last, more = found.doubts[0][0], found.doubts[-1][0], found.doubts_to is not None
        log_event.warning("log_doubtful", partition=str(partition), first=first, last=last, maybe_more=more)
    if found.vote_damaged:
        log_event.error("vote_damaged", partition=str(partition))

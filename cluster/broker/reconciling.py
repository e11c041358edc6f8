"""Makes the replicas that run on a node equal to what the controller assigned to it.

Rules (absence never deletes):
- a replica on this node, in a placement's `replicas`, `target` or `abandoned`, runs; of several the newest, for the
  older one is lost. One whose log exists is opened; its votes wait for the controller's record;
- one that was never recorded as initialised is created, then reported as initialised. If the partition has ever moved,
  it is blank: it learns who there is from the leader. Otherwise it begins with the membership that all began with;
- one that was recorded, but whose log is not here or lost its vote, is reported as lost (see `opening`);
- one in `removed` is stopped, its directory goes, and it is reported as dropped;
- a replica of a topic that the controller deleted is stopped and its directory removed;
- a directory that nobody assigned stays where it is, and is counted in reports.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING

import structlog

from cluster.broker.opening import REPLICAS, Missing, directory_of, open_or_create
from cluster.broker.requests import AllowVote, Configure, Reassign
from cluster.broker.running import Running
from cluster.config import LogOptions
from cluster.errors import DiskFull, RiverrunError
from cluster.log import Log, MachineOf, ReplicaIdentity
from cluster.membership import Member, Membership
from cluster.metadata import Delta, Placement, Topic
from cluster.metadata import Replica as Assigned
from cluster.types import ClusterId, PartitionId, ReplicaId, TopicId
from cluster.world import Disk

if TYPE_CHECKING:
    from cluster.broker.broker import Broker

log_event = structlog.get_logger()
STARTED_TOGETHER_MAX = 64
"""Replicas whose files are opened or made in one piece of disk work: others' writes wait meanwhile."""
RETRY_S = 1.0
"""What the disk had no room for is tried again so often."""


class Reconciling:
    """One node's: takes the controller's deltas, one after the other."""

    def __init__(
        self,
        broker: "Broker",
        cluster: ClusterId,
        disk: Disk,
        log: LogOptions,
        machine_of_topic: Callable[[str], MachineOf | None],
        *,
        run: Callable[[Missing, Log], Running],
    ) -> None:
        self.on_deleted: list[Callable[[TopicId], Awaitable[None]]] = []
        self.on_dropped: list[Callable[[PartitionId], Awaitable[None]]] = []
        self.on_metadata: list[Callable[[], None]] = []
        self.deltas: asyncio.Queue[Delta] = asyncio.Queue()
        self._broker = broker
        self._cluster = cluster
        self._disk = disk
        self._log_options = log
        self._machine_of_topic = machine_of_topic
        self._run_replica = run
        self._mine: dict[PartitionId, set[ReplicaId]] = {}
        """What the controller has here, running or to be removed."""

    async def run(self) -> None:
        """Until cancelled."""
        missing: dict[PartitionId, Missing] = {}
        while True:
            try:
                async with asyncio.timeout(RETRY_S if missing else None):
                    delta = await self.deltas.get()
            except TimeoutError:
                pass
            else:
                await self._apply(delta, missing)
            missing = {item.partition: item for item in await self._start(list(missing.values()))}
            self._broker.reconciled = True
            self._broker.leaders_may_have_changed()

    async def _apply(self, delta: Delta, missing: dict[PartitionId, Missing]) -> None:
        broker = self._broker
        broker.directory.apply(delta)
        for topic_id in delta.deleted:
            broker.meters.forget(topic_id)
            broker.leaders.forget_topic(topic_id)
            for listener in self.on_deleted:
                await listener(topic_id)
            await self._remove_topic(topic_id)
            for partition in [partition for partition in (*missing, *self._mine) if partition.topic == topic_id]:
                missing.pop(partition, None)
                self._forget(self._mine.pop(partition, set()))
        for topic in delta.topics:
            for placement in topic.partitions:
                partition = PartitionId(topic.id, placement.number)
                item = await self._reconcile(partition, placement, topic)
                missing.pop(partition, None)
                if item is not None:
                    missing[partition] = item
        if delta.resync:
            await self._count_unknown()
        for told in self.on_metadata:
            told()

    async def _reconcile(self, partition: PartitionId, placement: Placement, topic: Topic) -> Missing | None:
        """Stop what has to go, tell a replica that runs what is new for it; one that should run and does not."""
        broker = self._broker
        here = [item for item in placement.running if item.node == broker.me]
        gone = [item for item in placement.removed if item.node == broker.me]
        mine = {item.replica for item in (*here, *gone)}
        self._forget(self._mine.pop(partition, set()) - mine)
        if mine:
            self._mine[partition] = mine
        for item in gone:
            await self._drop(partition, item)
        running = broker.running.get(partition)
        if not here:
            return None  # if one runs, that was not taken away: it stays until it is
        assigned = max(here, key=lambda item: item.replica)
        if running is not None and running.assigned.replica != assigned.replica:
            await self._stop(partition)  # it was lost, and is here again: the other one has its place
            running = None
        if running is None:
            return self._missing(partition, placement, topic, assigned)
        if assigned.initialised and not running.assigned.initialised:
            running.assigned = assigned
            broker.reports.recorded(assigned.replica)
            await running.ref.tell(AllowVote(soon=running.preferred))
        if topic.config != running.config:
            running.config = topic.config
            await running.ref.tell(Configure(topic.config))
        wish = wish_of(placement)
        if wish is not None and wish != running.wish:
            running.wish = wish
            await running.ref.tell(wish)
        return None

    def _missing(self, partition: PartitionId, placement: Placement, topic: Topic, assigned: Assigned) -> Missing:
        beginning = () if placement.since else placement.replicas
        return Missing(
            assigned,
            directory_of(partition, assigned),
            ReplicaIdentity(cluster=self._cluster, partition=partition, replica=assigned.replica),
            Membership(voters=_members(beginning)),
            placement.preferred_leader == self._broker.me,
            topic.config,
            self._machine_of_topic(topic.name),
            wish_of(placement),
        )

    async def _start(self, missing: list[Missing]) -> list[Missing]:
        """Open or create their logs, so many together that their syncs are shared; what the disk has no room for."""
        left: list[Missing] = []
        for first in range(0, len(missing), STARTED_TOGETHER_MAX):
            some = missing[first : first + STARTED_TOGETHER_MAX]
            opened = await self._disk.run(partial(open_or_create, self._disk, some, self._log_options))
            for item, log in zip(some, opened, strict=True):
                if isinstance(log, DiskFull):
                    left.append(item)
                elif isinstance(log, RiverrunError):
                    log_event.error(
                        "replica_lost", partition=str(item.partition), reason=log.reason, detail=log.message
                    )
                    self._broker.reports.lost(item.assigned.replica)
                else:
                    running = self._run_replica(item, log)
                    if item.wish is not None:
                        running.wish = item.wish
                        await running.ref.tell(item.wish)
        return left

    # --- what goes

    async def _drop(self, partition: PartitionId, item: Assigned) -> None:
        """A leader's committed membership is without it: its files go, and that is said until the controller knows."""
        running = self._broker.running.get(partition)
        if running is not None and running.assigned.replica == item.replica:
            await self._stop(partition)
        directory = directory_of(partition, item)
        if await self._disk.run(lambda: self._remove_directory(directory)):
            log_event.info("replica_dropped", partition=str(partition), node=self._broker.me, replica=item.replica)
        self._broker.reports.dropped(item.replica)

    async def _stop(self, partition: PartitionId) -> None:
        for listener in self.on_dropped:
            await listener(partition)
        running = self._broker.running.pop(partition)
        self._broker.reports.resigns(partition)
        self._broker.leaders.resigned(partition, self._broker.me)
        await running.ref.stop()

    def _forget(self, replicas: Iterable[ReplicaId]) -> None:
        for replica in replicas:
            self._broker.reports.gone(replica)

    async def _remove_topic(self, topic: TopicId) -> None:
        for partition in [partition for partition in self._broker.running if partition.topic == topic]:
            running = self._broker.running.pop(partition)
            self._broker.reports.resigns(partition)
            await running.ref.stop()
        await self._disk.run(lambda: self._remove_directory(f"{REPLICAS}/{topic.hex()}"))

    def _remove_directory(self, path: str) -> bool:
        """Whether there was one."""
        if not self._disk.list(path):
            return False
        self._disk.remove(path)
        self._disk.sync_directory(path.rpartition("/")[0])
        return True

    async def _count_unknown(self) -> None:
        """Directories that the controller, all of whose word this node has heard by now, has not assigned."""
        known = {
            directory_of(partition, item)
            for topic in self._broker.directory.topics.values()
            for placement in topic.partitions
            for partition in [PartitionId(topic.id, placement.number)]
            for item in (*placement.running, *placement.removed)
            if item.node == self._broker.me
        }
        unknown = sorted(set(await self._disk.run(self._list)) - known)
        if unknown:
            log_event.warning("replicas_unknown", directories=unknown[:10], count=len(unknown))
        self._broker.reports.unknown(len(unknown))

    def _list(self) -> list[str]:
        topics = [f"{REPLICAS}/{name}" for name in self._disk.list(REPLICAS)]
        return [f"{topic}/{name}" for topic in topics for name in self._disk.list(topic)]


def wish_of(placement: Placement) -> Reassign | None:
    """What its replicas are told of a placement; None: it never moved."""
    if not placement.since:
        return None
    initialised = frozenset(item.replica for item in placement.running if item.initialised)
    return Reassign(_members(placement.target) if placement.target else None, initialised, version=placement.since)


def _members(items: Iterable[Assigned]) -> tuple[Member, ...]:
    return tuple(Member(replica=item.replica, node=item.node) for item in items)

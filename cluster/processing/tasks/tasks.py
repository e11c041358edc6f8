"""All tasks of one node: a keeper for each replica of a task's log that is here, and a leader where this node leads."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import structlog

from cluster.actor import Supervisor
from cluster.broker.peer_channels import PeerChannels
from cluster.broker.publish_service import PublishService
from cluster.broker.replica import Replica
from cluster.broker.running import Running
from cluster.errors import InvalidRequest, NotLeader, Unavailable
from cluster.processing.ledger import Ledger
from cluster.processing.task_status import TaskStatus
from cluster.processing.tasks.around import Around
from cluster.processing.tasks.fetching import Fetching
from cluster.processing.tasks.keeper import Keeper
from cluster.processing.tasks.leading import Leading
from cluster.processing.tasks.telling import status_of
from cluster.types import PartitionId, TopicId
from cluster.wire import api
from cluster.wire.links import Links
from cluster.wire.tasks import DELETE_READ, FETCH_STATE, SHIP, introduction_of, publish_of, ship_response, task_pb2
from cluster.world import Call, Route

log_event = structlog.get_logger()


class Tasks:
    """Of one node."""

    def __init__(
        self,
        around: Around,
        *,
        supervisor: Supervisor,
        links: Links,
        publishing: PublishService,
        channels: PeerChannels,
    ) -> None:
        self._around = around
        self._supervisor = supervisor
        self._links = links
        self._publishing = publishing
        self._channels = channels
        self._keepers: dict[PartitionId, Keeper] = {}
        self._running: dict[PartitionId, asyncio.Task[None]] = {}
        self._leading: dict[PartitionId, tuple[Leading, asyncio.Task[None]]] = {}
        self._fetching = Fetching(
            broker=around.broker,
            links=links,
            channel=channels,
            check=links.check,
            keepers=self._keepers,
            stores=around.processing.stores,
            options=around.options,
        )
        broker = around.broker
        broker.on_started.append(self._started)
        broker.on_folded.append(self._folded)
        broker.on_deleted.append(self._deleted)
        broker.on_dropped.append(self._dropped)
        broker.on_metadata.append(self._metadata_changed)

    @property
    def fetched(self) -> int:
        """States that replicas here got from others, since the start."""
        return self._fetching.fetched

    def routes(self) -> dict[str, Route]:
        """What other nodes ask of this one's tasks."""
        return {
            SHIP: Route(streaming=self._take_shipped),
            FETCH_STATE: Route(streaming=self._fetching.serve),
            DELETE_READ: Route(unary=self._around.emptying.serve),
        }

    async def close(self) -> None:
        """The node stops."""
        tasks = [*self._running.values(), *(task for _, task in self._leading.values())]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for keeper in self._keepers.values():
            keeper.on_change = lambda: None
            keeper.close()
        await self._around.outlets.close()
        await self._channels.close()
        await self._around.processing.hosts.close()
        await self._around.processing.stores.close()

    async def status(self, partition: PartitionId) -> TaskStatus:
        """See `cluster.processing.task_status.Tasks`."""
        around, leading = self._around, self._led(partition)
        directory = self._keepers[partition].replica.log.directory
        return await status_of(
            leading,
            node=around.broker.me,
            reading=around.reading,
            clock=around.clock,
            state_bytes=around.processing.stores.bytes_in(directory),
        )

    def resume(self, partition: PartitionId) -> None:
        """See `cluster.processing.task_status.Tasks`."""
        self._led(partition).resume()

    async def redrive(self, partition: PartitionId) -> int:
        """See `cluster.processing.task_status.Tasks`."""
        return await self._led(partition).redrive()

    def _led(self, partition: PartitionId) -> Leading:
        leading = self.leading(partition)
        if leading is not None:
            return leading
        running = self._around.broker.running.get(partition)
        if running is None:
            raise NotLeader(f"node {self._around.broker.me} does not keep that task")
        if running.replica.raft.is_leader:
            raise Unavailable("the task's state is not here yet")
        raise running.replica.not_leader()

    def led(self) -> list[PartitionId]:
        """The tasks that are led here."""
        return list(self._leading)

    def leading(self, partition: PartitionId) -> Leading | None:
        """Whoever leads that task here."""
        found = self._leading.get(partition)
        return found[0] if found is not None else None

    def keeper(self, partition: PartitionId) -> Keeper | None:
        """Whoever keeps its state here."""
        return self._keepers.get(partition)

    # --- replicas come, lead, and go

    def _started(self, running: Running) -> None:
        partition = running.replica.partition
        if not isinstance(running.replica.log.fold.machine, Ledger):
            return
        keeper = Keeper(
            running,
            owner=str(partition),
            stores=self._around.processing.stores,
            clock=self._around.clock,
            options=self._around.options,
            fetch=self._fetching.fetch,
        )
        keeper.on_change = lambda: self._look(partition)
        self._keepers[partition] = keeper
        self._running[partition] = self._supervisor.spawn_task(keeper.run(), name=f"task/{partition}/keep")

    def _folded(self, replica: Replica) -> None:
        keeper = self._keepers.get(replica.partition)
        if keeper is not None:
            keeper.folded()

    def _look(self, partition: PartitionId) -> None:
        """The keeper has got further, or somebody else leads."""
        keeper, found = self._keepers[partition], self._leading.get(partition)
        raft = keeper.replica.raft
        if found is not None:
            leading, task = found
            if raft.is_leader and raft.term == leading.term and keeper.store is not None:
                leading.keeper_moved()
                return
            task.cancel()
            del self._leading[partition]
        if keeper.is_current:
            leading = Leading(keeper, self._around)
            task = self._supervisor.spawn_task(leading.run(), name=f"task/{partition}/lead")
            self._leading[partition] = (leading, task)

    async def _deleted(self, topic: TopicId) -> None:
        """Return when nothing is done any more with the files of its tasks: they are about to go."""
        await self._let_go([partition for partition in self._keepers if partition.topic == topic])

    async def _dropped(self, partition: PartitionId) -> None:
        """The same of one task, which others keep."""
        await self._let_go([partition] if partition in self._keepers else [])

    async def _let_go(self, partitions: Sequence[PartitionId]) -> None:
        keeping = []
        for partition in partitions:
            found = self._leading.pop(partition, None)
            if found is not None:
                found[1].cancel()
            keeping.append(self._running.pop(partition))
            keeping[-1].cancel()
            keeper = self._keepers.pop(partition)
            keeper.on_change = lambda: None
            keeper.close()
        if keeping:
            await asyncio.gather(*keeping, return_exceptions=True)
            await self._around.processing.stores.run(lambda: None)  # which is done after what was asked for before

    def _metadata_changed(self) -> None:
        for leading, _ in self._leading.values():
            leading.metadata_changed()

    # --- what others ship to here

    async def _take_shipped(self, requests: AsyncIterator[bytes], call: Call) -> AsyncIterator[bytes]:
        first = api.parse(task_pb2.ShipRequest, await anext(requests, b""))
        if not first.HasField("introduction"):
            raise InvalidRequest("a stream of outputs must say who speaks, first")
        self._links.check(*introduction_of(first.introduction), call)
        publishes = (publish_of(data) async for data in requests)
        async for answer in self._publishing.answers(publishes, self._around.broker.directory.topic):
            yield ship_response(answer)

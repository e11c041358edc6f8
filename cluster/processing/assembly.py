"""What a node needs for apps, put together: the store of code, the service, and how it asks tasks."""

from collections.abc import Callable, Mapping

from cluster.broker.broker import Broker
from cluster.broker.forwarding import Forwarding
from cluster.broker.publish_service import PublishService
from cluster.broker.read_service import ReadService
from cluster.config import NodeConfig
from cluster.metadata import TopicConfig
from cluster.processing.app_service import AppService, app_routes
from cluster.processing.asking_tasks import AskingTasks
from cluster.processing.code_store import CodeStore
from cluster.processing.code_sweeping import Sweeping
from cluster.processing.deployment import AppDecisions, Deployment
from cluster.processing.hosts import Hosts
from cluster.processing.task_status import Tasks
from cluster.processing.tasks.outlets import Outlets
from cluster.types import PartitionId
from cluster.world import Clock, Route


class Apps:
    """`hosts` None: this node runs no user code; what is deployed it knows all the same."""

    def __init__(
        self,
        *,
        config: NodeConfig,
        broker: Broker,
        decisions: AppDecisions,
        forwarding: Forwarding,
        reading: ReadService,
        publishing: PublishService,
        outlets: Outlets,
        clock: Clock,
        hosts: Hosts | None,
        nodes: Callable[[], int],
    ) -> None:
        """`nodes`: how many there are."""
        options = config.processing
        self._decisions = decisions
        self._replicas = config.broker.group_replicas_max
        self._nodes = nodes
        self.store = CodeStore(
            broker=broker,
            outlets=outlets,
            reading=reading,
            make_topic=self._make_code_topic,
            clock=clock,
            options=options,
        )
        self.sweeping = Sweeping(broker=broker, reading=reading, publishing=publishing, clock=clock, options=options)
        self._asking = AskingTasks(broker=broker, forwarding=forwarding, options=options)
        self._service = AppService(
            broker=broker,
            decisions=decisions,
            store=self.store,
            deployment=Deployment(
                broker=broker,
                decisions=decisions,
                store=self.store,
                hosts=hosts,
                partitions_default=config.controller.partitions_default,
                options=options,
            ),
            asking=self._asking,
            options=options,
        )

    def run_by(self, tasks: Tasks) -> None:
        """These are this node's tasks: they need the store, and so come after it."""
        self._asking.tasks = tasks

    def routes(self) -> Mapping[str, Route]:
        """What the client listener serves of it."""
        return app_routes(self._service)

    def close(self) -> None:
        """Whoever waits for code is let go."""
        self.store.close()

    async def _make_code_topic(self, name: str) -> PartitionId:
        """With as many replicas as the cluster can have for good."""
        topic = await self._decisions.create_topic(
            name,
            partitions=1,
            replicas=min(self._replicas, self._nodes()),
            if_absent=True,
            config=TopicConfig(compacted=True),
        )
        return PartitionId(topic.id, 0)

"""The client: one object for producing, reading and looking after topics.

It is handed its network, clock and randomness, and never picks them: `cluster.connect` does, for applications.
"""

from collections.abc import Callable, Coroutine, Generator, Sequence
from typing import Any, Self

from cluster.client.admin import Admin
from cluster.client.app_admin import AppAdmin
from cluster.client.appending import Appender, record_of
from cluster.client.calls import Calls
from cluster.client.directory import Directory
from cluster.client.explaining import Explaining
from cluster.client.group_admin import GroupAdmin
from cluster.client.node_admin import NodeAdmin
from cluster.client.offsets import PartitionOffsets, get_offsets
from cluster.client.positions import Place, Places
from cluster.client.producer import Producer
from cluster.client.reader import Reader
from cluster.client.subscription import OnMoved, Subscription
from cluster.client.verifying import Verification, verify
from cluster.config import ClientOptions
from cluster.errors import InvalidRequest, RiverrunError, Unavailable, Untrusted
from cluster.records import Receipt
from cluster.types import Durability
from cluster.wire.encoding import Headers
from cluster.world import Clock, Network, Random

PORT_MAX = 65_535
Servers = str | Sequence[str]
"""`host:port`, several with commas between, or a sequence of them."""


class Client:
    """A connection to a cluster; made inside a running event loop, and of use in that one only.

    `produce` and `publish` belong to the client's own producer, which has no name; `producer(…)` makes others.
    Topics and the cluster: see `Admin`, whose methods are the client's; nodes and moves: `NodeAdmin`, groups:
    `GroupAdmin`, apps: `AppAdmin`, and what is wrong: `Explaining`, in the same way.
    Nothing here is safe to use from several threads: `connect_blocking` makes what is.
    """

    def __init__(
        self, servers: Servers, *, network: Network, clock: Clock, random: Random, options: ClientOptions | None = None
    ) -> None:
        self._options = options or ClientOptions()
        self._clock = clock
        self._random = random
        self._calls = Calls(network, addresses(servers), self._options, random)
        self._directory = Directory(self._calls, self._options)
        admin = Admin(self._calls, self._directory)
        self.create_topic = admin.create_topic
        self.alter_topic = admin.alter_topic
        self.delete_records = admin.delete_records
        self.describe_topic = admin.describe_topic
        self.list_topics = admin.list_topics
        self.delete_topic = admin.delete_topic
        self.cluster_status = admin.cluster_status
        nodes = NodeAdmin(self._calls)
        self.add_node = nodes.add_node
        self.drain_node = nodes.drain_node
        self.replace_node = nodes.replace_node
        self.remove_node = nodes.remove_node
        self.reassign_partitions = nodes.reassign_partitions
        self.cancel_reassignments = nodes.cancel_reassignments
        self.reassignments = nodes.reassignments
        groups = GroupAdmin(self._calls)
        self.list_groups = groups.list_groups
        self.describe_group = groups.describe_group
        self.reset_group = groups.reset_group
        self.delete_group = groups.delete_group
        apps = AppAdmin(self._calls)
        self.deploy_app = apps.deploy_app
        self.list_apps = apps.list_apps
        self.describe_app = apps.describe_app
        self.pause_app = apps.pause_app
        self.resume_app = apps.resume_app
        self.remove_app = apps.remove_app
        self.redrive_app = apps.redrive_app
        explaining = Explaining(self._calls, self._options)
        self.explain_partition = explaining.explain_partition
        self.explain_group = explaining.explain_group
        self.explain_task = explaining.explain_task
        self.explain_node = explaining.explain_node
        self._producers: list[Producer] = []
        self._readers: list[Reader] = []
        self._subscriptions: list[Subscription] = []
        self._own = self._make_producer(Durability.MAJORITY_SYNCED, "", self._options)
        self.produce = self._own.produce
        """Put one record on its way: see `Producer.produce`."""
        self.produce_nowait = self._own.produce_nowait
        """`produce` without waiting: see `Producer.produce_nowait`."""
        appender = Appender(calls=self._calls, directory=self._directory, clock=clock, options=self._options)
        self.append = appender.append
        """Append records as one batch, perhaps under a condition: see `Appender.append`."""
        self.flush = self._own.flush
        """Wait until all that was produced is acknowledged: see `Producer.flush`."""
        self.batches_under_way = self._own.batches_under_way
        """What was sent and is not acknowledged: see `Producer.batches_under_way`."""
        self.report = self._own.report
        """What became of the records: see `Producer.report`."""

    async def open(self) -> Self:
        """Reach a node and learn the others. Unavailable if none of the servers answers, Untrusted if TLS fails."""
        try:
            await self.cluster_status(timeout_s=self._options.connect_timeout_s)
        except RiverrunError as error:
            if not error.retry or isinstance(error, Untrusted):
                raise
            tried = ", ".join(self._calls.servers)
            raise Unavailable(f"none of {tried} answers ({error}); is the cluster running there?") from error
        return self

    async def producer(
        self,
        *,
        name: str = "",
        durability: Durability = Durability.MAJORITY_SYNCED,
        options: ClientOptions | None = None,
    ) -> Producer:
        """Another producer. A name survives the process: opening it again fences the earlier holder."""
        return await self._make_producer(durability, name, options or self._options).open()

    async def publish(
        self,
        topic: str,
        value: bytes,
        *,
        key: bytes | None = None,
        headers: Headers = (),
        timestamp_ns: int = 0,
        partition: int | None = None,
        expected_end: int | None = None,
    ) -> Receipt:
        """Produce one record and wait for its receipt.

        With `expected_end` only if that is the end of `partition`: OffsetConflict if it is not, and then nothing was
        appended (see `append`).
        """
        if expected_end is None:
            return await self._own.publish(
                topic, value, key=key, headers=headers, timestamp_ns=timestamp_ns, partition=partition
            )
        if partition is None:
            raise InvalidRequest("a publish with an expected end names its partition")
        record = record_of(value, key, headers, timestamp_ns)
        return await self.append(topic, partition, [record], expected_end=expected_end)

    def _make_producer(self, durability: Durability, name: str, options: ClientOptions) -> Producer:
        producer = Producer(
            calls=self._calls,
            directory=self._directory,
            clock=self._clock,
            random=self._random,
            options=options,
            durability=durability,
            name=name,
        )
        self._producers = [*(other for other in self._producers if not other.is_closed), producer]
        return producer

    def read(
        self,
        topic: str,
        *,
        partitions: Sequence[int] | None = None,
        start: Places = "earliest",
        until: Places | None = None,
        options: ClientOptions | None = None,
    ) -> Reader:
        """The records of a topic from `start` on, for ever or until a place (see `positions`).

        `async for record in client.read("purchases", until="latest")` reads what is there now and ends.
        """
        reader = Reader(
            topic,
            partitions=partitions,
            start=start,
            until=until,
            calls=self._calls,
            directory=self._directory,
            options=options or self._options,
        )
        self._readers = [*(other for other in self._readers if not other.is_over), reader]
        return reader

    def subscribe(
        self,
        topics: str | Sequence[str],
        *,
        group: str,
        start: Place = "earliest",
        name: str = "",
        on_assigned: OnMoved | None = None,
        on_taken: OnMoved | None = None,
        options: ClientOptions | None = None,
    ) -> Subscription:
        """The records of topics as a member of a group: its partitions are shared among the members.

        `start` is where the group begins in a partition for which it has no position. `name` is for people.
        What was processed is committed every `commit_interval_s`, by `commit()`, and when the subscription is closed.
        """
        subscription = Subscription(
            [topics] if isinstance(topics, str) else topics,
            group=group,
            start=start,
            name=name,
            calls=self._calls,
            directory=self._directory,
            options=options or self._options,
            on_assigned=on_assigned,
            on_taken=on_taken,
        )
        self._subscriptions = [*(other for other in self._subscriptions if not other.is_over), subscription]
        return subscription

    async def offsets(
        self,
        topic: str,
        partitions: Sequence[int] = (),
        *,
        at: Place | None = None,
        timeout_s: float | None = None,
    ) -> dict[int, PartitionOffsets]:
        """First offset and end of each partition, and the offset of the place `at`; none named: all partitions."""
        return await get_offsets(self._calls, topic, partitions, at=at, timeout_s=timeout_s)

    async def verify(self, topic: str, partition: int, offset: int, *, timeout_s: float | None = None) -> Verification:
        """What every replica has on its disk at an offset, read and checked anew: a receipt, checked."""
        return await verify(self._calls, topic, partition, offset, timeout_s=timeout_s)

    async def close(self) -> None:
        """Acknowledge what was produced, stop reading, disconnect. Raises the first failure that nobody was told of.

        A failure of one producer takes nothing from the others: it is raised when all of them are through.
        """
        failures: list[Exception] = []
        held: list[Subscription | Producer] = [*self._subscriptions, *self._producers]
        try:
            for one in held:
                try:
                    await one.close()
                except Exception as error:  # noqa: BLE001  raised below
                    failures.append(error)
        finally:
            await self._stop()
        if failures:
            raise failures[0]

    async def abandon(self) -> None:
        """Disconnect at once; what was produced and not acknowledged fails."""
        for producer in self._producers:
            await producer.abandon()
        await self._stop()

    async def _stop(self) -> None:
        for subscription in self._subscriptions:
            await subscription.abandon()
        for reader in self._readers:
            await reader.close()
        for producer in self._producers:
            await producer.abandon()
        await self._directory.close()
        await self._calls.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        """Close on the way out of a block that went well; disconnect at once where it raised."""
        if kind is None:
            await self.close()
        else:
            await self.abandon()


class Connecting:
    """What `connect` returns: await it for the client, or enter it with `async with`."""

    def __init__(self, make: Callable[[], Client]) -> None:
        self._make = make
        self._client: Client | None = None

    async def _open(self) -> Client:
        client = self._make()
        try:
            return await client.open()
        except BaseException:
            await client.abandon()
            raise

    def __await__(self) -> Generator[Any, None, Client]:
        return self._open().__await__()

    async def __aenter__(self) -> Client:
        self._client = await self._open()
        return self._client

    def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: object
    ) -> Coroutine[Any, Any, None]:
        assert self._client is not None
        return self._client.__aexit__(kind, error, trace)


def addresses(servers: Servers) -> list[str]:
    """The single addresses; InvalidRequest names the one that is not `host:port`.

    >>> addresses("127.0.0.1:7171, 127.0.0.1:7172")
    ['127.0.0.1:7171', '127.0.0.1:7172']
    """
    given = servers.split(",") if isinstance(servers, str) else list(servers)
    found = [address.strip() for address in given if address.strip()]
    for address in found:
        if "://" in address:
            raise InvalidRequest(f"{address!r} is not HOST:PORT: leave out {address.partition('://')[0]}://")
        host, _, port = address.rpartition(":")
        if not host or not port.isdecimal():
            raise InvalidRequest(f"{address!r} is not HOST:PORT, such as 127.0.0.1:7171")
        if not 0 < int(port) <= PORT_MAX:
            raise InvalidRequest(f"{address!r} is not HOST:PORT: a port is a number from 1 to {PORT_MAX}")
    if not found:
        raise InvalidRequest("no server was given; name at least one as HOST:PORT")
    return found

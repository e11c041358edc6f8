"""A task's state from another replica: whoever has it gives a snapshot in pieces, whoever needs it installs them.

A transfer that breaks begins anew, at the next replica. What was installed in part is thrown away with the next first
piece, and the state as it was is there until the last one.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial

import structlog

from cluster.broker.broker import Broker
from cluster.config import ProcessingOptions
from cluster.errors import RiverrunError, Unavailable
from cluster.processing.snapshot import BEFORE_ALL, decode_chunk
from cluster.processing.store import Store
from cluster.processing.surroundings import Stores
from cluster.processing.tasks.keeper import Keeper
from cluster.types import NodeId, PartitionId, TopicId
from cluster.wire import api
from cluster.wire.links import Links
from cluster.wire.peer import Hello
from cluster.wire.tasks import FETCH_STATE, chunk_response, fetch_request, introduction_of, task_pb2
from cluster.world import Call, Channel

log_event = structlog.get_logger()
SILENCE_S_MAX = 10.0
"""Between two pieces."""


class Fetching:
    """Asks other nodes, and answers them. `keepers`: of this node, by partition."""

    def __init__(
        self,
        *,
        broker: Broker,
        links: Links,
        channel: Callable[[NodeId], Channel],
        check: Callable[[Hello, int], object],
        keepers: Mapping[PartitionId, Keeper],
        stores: Stores,
        options: ProcessingOptions,
    ) -> None:
        self._broker = broker
        self._links = links
        self._channel = channel
        self._check = check
        self._keepers = keepers
        self._stores = stores
        self._options = options
        self.fetched = 0

    # --- asking

    async def fetch(self, keeper: Keeper, store: Store, n_min: int) -> None:
        """See `Keeper`."""
        replica = keeper.replica
        others = [node for node in replica.peers.nodes().values() if node != self._broker.me]
        leader = replica.leader_node
        error: RiverrunError = Unavailable("there is no other replica of the task")
        for node in sorted(others, key=lambda node: node != leader):
            try:
                await self._fetch_from(node, replica.partition, store, n_min)
            except RiverrunError as refused:
                error = refused
            except TimeoutError:
                error = Unavailable(f"node {node} did not go on with the state of {replica.partition}")
            else:
                self.fetched += 1
                log_event.info("task_state_fetched", task=str(replica.partition), node=node, n=store.applied.n)
                return
        raise error

    async def _fetch_from(self, node: NodeId, partition: PartitionId, store: Store, n_min: int) -> None:
        stream = self._channel(node).stream(FETCH_STATE)
        try:
            hello = self._links.hello_on_control(node)
            await stream.send(fetch_request(hello, self._links.incarnation, partition, n_min))
            await stream.finish()
            while True:
                async with asyncio.timeout(SILENCE_S_MAX):
                    data = await stream.receive()
                if data is None:
                    raise Unavailable("the state ended before its last piece")
                chunk = api.parse(task_pb2.FetchStateResponse, data).chunk
                if await self._stores.run(partial(store.install, chunk)):
                    return
        finally:
            stream.cancel()

    # --- answering

    async def serve(self, requests: AsyncIterator[bytes], call: Call) -> AsyncIterator[bytes]:
        """Handler of FetchState."""
        del call
        request = api.parse(task_pb2.FetchStateRequest, await anext(requests, b""))
        self._check(*introduction_of(request.introduction))
        keeper = self._keepers.get(PartitionId(TopicId(request.topic_id), request.partition))
        store = keeper.store if keeper is not None else None
        if keeper is None or keeper.applying is None or store is None or store.applied.n < request.n_min:
            raise Unavailable(f"node {self._broker.me} does not have that state")
        snapshot = await self._stores.run(store.snapshot)
        try:
            after, last = BEFORE_ALL, False
            while not last:
                data = await self._stores.run(partial(snapshot.chunk, after, self._options.snapshot_chunk_bytes))
                chunk = decode_chunk(data)
                after, last = chunk.upto, chunk.last
                yield chunk_response(data)
        finally:
            self._stores.soon(snapshot.close)

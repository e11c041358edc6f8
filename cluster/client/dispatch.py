"""From windows to connections and back: the acting half of a producer.

A turn is scheduled once for everything that happened since the last one. For each partition that was touched it gives
up what is too late, sees to it that there is an identity and a leader, and hands over what the window lets out.
Nothing here decides about order or numbers (`window`) or about when a batch is full (`accumulator`).
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from cluster.client.accumulator import BUSY_BATCHES, Accumulator, PartitionBuffer
from cluster.client.calls import Calls
from cluster.client.directory import Directory
from cluster.client.identities import Identities
from cluster.client.outlets import Outlet, TopicOutlets
from cluster.client.publish_connection import PublishConnection
from cluster.client.window import Attempt, Settled
from cluster.config import ClientOptions
from cluster.errors import NotLeader, Outcome, RiverrunError, TopicDeleted, Unavailable, UnknownTopic
from cluster.records import Receipt
from cluster.types import Durability


class Dispatch:
    """`settle` is called with every batch whose outcome became known."""

    def __init__(
        self,
        *,
        calls: Calls,
        directory: Directory,
        identities: Identities,
        accumulator: Accumulator,
        options: ClientOptions,
        durability: Durability,
        settle: Callable[[Settled], None],
    ) -> None:
        self._calls = calls
        self._directory = directory
        self._identities = identities
        self._accumulator = accumulator
        self._options = options
        self._durability = durability
        self._settle = settle
        self._loop = asyncio.get_running_loop()
        self._topics: dict[str, TopicOutlets] = {}
        self._connections: dict[str, PublishConnection] = {}
        self._dirty: dict[Outlet, None] = {}
        self._turn_asked = False
        self._linger: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def topics(self) -> dict[str, TopicOutlets]:
        """What is produced to, by name."""
        return self._topics

    @property
    def retries(self) -> int:
        """How many batches were sent again."""
        return sum(outlet.window.retries for topic in self._topics.values() for outlet in topic.outlets)

    async def open_topic(self, name: str, first: int) -> TopicOutlets:
        """The topic's outlets; `first` chooses where records without a key begin."""
        route = await self._directory.route(name)
        known = self._topics.get(name)
        if known is None or known.route.topic_id != route.topic_id:
            known = self._topics[name] = TopicOutlets(
                route, first=first, calls=self._calls, options=self._options, named=self._identities.is_named
            )
        return known

    # --- turns

    def touch(self, outlet: Outlet) -> None:
        """Something about this partition changed; look at it in the next turn."""
        self._dirty[outlet] = None
        self.ask_turn()

    def ask_turn(self) -> None:
        """Schedule a turn, if none is."""
        if not self._turn_asked and not self._closed:
            self._turn_asked = True
            self._loop.call_soon(self._turn)

    def batch_opened(self) -> None:
        """A batch begins to linger."""
        if self._linger is None and not self._closed:
            due_s = self._accumulator.next_due_s()
            assert due_s is not None
            self._linger = self._loop.call_at(due_s, self._lingered)

    def _lingered(self) -> None:
        self._linger = None
        self._accumulator.close_due(self._loop.time(), _is_busy)
        self.ask_turn()
        if self._accumulator.next_due_s() is not None:
            self.batch_opened()

    def _turn(self) -> None:
        self._turn_asked = False
        now_s = self._loop.time()
        for buffer in self._accumulator.ready:
            assert isinstance(buffer, Outlet)
            self._dirty[buffer] = None
        self._accumulator.ready.clear()
        dirty, self._dirty = self._dirty, {}
        for outlet in dirty:
            self._advance(outlet, now_s)

    def _advance(self, outlet: Outlet, now_s: float) -> None:
        window = outlet.window
        if outlet.open is not None and outlet.open.deadline_s <= now_s:
            self._accumulator.close(outlet)
        self._settle(window.expire(now_s))  # first: what runs out of time makes room, or ends the window
        if window.ended is not None:
            self._accumulator.close(outlet)
            self._settle(window.end(window.ended))
            return
        if outlet.open is not None and not outlet.closed:
            alone = window.is_idle and outlet.open.awaited
            if alone or (self._accumulator.is_overdue(outlet) and not _is_busy(outlet)):
                self._accumulator.close(outlet)
        self._accumulator.ready.pop(outlet, None)
        if window.needs_identity and outlet.identifying is None:
            outlet.identifying = self._start(self._identify(outlet))
        if window.wants_to_send and now_s >= window.retry_at_s:
            address = outlet.route.leader(outlet.partition)
            if address:
                connection = self._connection(address)
                while (attempt := window.take(now_s)) is not None:
                    connection.send_nowait(attempt, outlet.topic, outlet.route.topic_id)
            elif outlet.finding is None:
                outlet.finding = self._start(self._find_leader(outlet))
        self._arm(outlet, now_s)

    def _arm(self, outlet: Outlet, now_s: float) -> None:
        """Look again when a wait or the oldest batch's time is over."""
        window = outlet.window
        at_s = window.deadline_s()
        if at_s is None and outlet.open is not None:
            at_s = outlet.open.deadline_s
        if window.wants_to_send and window.retry_at_s > now_s and (at_s is None or window.retry_at_s < at_s):
            at_s = window.retry_at_s
        if outlet.wake is not None:
            if at_s is not None and outlet.wake.when() == at_s:
                return
            outlet.wake.cancel()
        outlet.wake = self._loop.call_at(at_s, self._woken, outlet) if at_s is not None else None

    def _woken(self, outlet: Outlet) -> None:
        outlet.wake = None
        self.touch(outlet)

    # --- identities and leaders

    async def _identify(self, outlet: Outlet) -> None:
        window = outlet.window
        try:
            if outlet.identified_before:
                identity = await self._identities.fresh()
            else:
                identity = await self._identities.first(outlet.topic, outlet.route.topic_id, outlet.partition)
        except RiverrunError as error:
            if not error.retry:
                self._settle(window.end(error))
            else:
                await asyncio.sleep(self._options.retry_s_max)
        else:
            if window.ended is None:
                outlet.identified_before = True
                window.identified(identity)
        finally:
            outlet.identifying = None
        self.touch(outlet)

    async def _find_leader(self, outlet: Outlet) -> None:
        try:
            route = await self._directory.refresh(outlet.topic)
        except UnknownTopic as error:
            self._end_topic(outlet, error)
        except RiverrunError:
            outlet.window.postpone(self._loop.time())
        else:
            if route.topic_id != outlet.route.topic_id:
                self._end_topic(outlet, TopicDeleted(f"topic {outlet.topic!r} was deleted and made anew"))
            elif not route.leader(outlet.partition):
                outlet.window.postpone(self._loop.time())
        finally:
            outlet.finding = None
        self.touch(outlet)

    def _end_topic(self, outlet: Outlet, error: RiverrunError) -> None:
        """The topic is gone: fail what is on its way there, and let the next `produce` look it up again."""
        topic = self._topics.get(outlet.topic)
        if topic is None or topic.route is not outlet.route:
            return
        del self._topics[outlet.topic]
        self._directory.forget(outlet.topic)
        for other in topic.outlets:
            self._settle(other.window.end(error))
            self.touch(other)

    # --- connections

    def _connection(self, address: str) -> PublishConnection:
        connection = self._connections.get(address)
        if connection is None:
            connection = self._connections[address] = PublishConnection(
                address,
                self._calls.channel(address),
                durability=self._durability,
                silence_s_max=self._options.request_timeout_s,
                reports=self,
            )
        return connection

    def answered(self, connection: PublishConnection, attempt: Attempt, answer: Receipt | RiverrunError) -> None:
        """See `publish_connection.Reports`."""
        window, outlet = attempt.window, attempt.outlet
        assert isinstance(outlet, Outlet)
        if isinstance(answer, Receipt):
            self._settle(window.acknowledged(attempt, answer))
        else:
            self._learn_from(outlet, connection.address, answer)
            self._settle(window.refused(attempt, answer, self._loop.time()))
            if isinstance(answer, TopicDeleted):
                self._end_topic(outlet, answer)
        self.touch(outlet)

    @staticmethod
    def _learn_from(outlet: Outlet, address: str, error: RiverrunError) -> None:
        leader = error.metadata.get("leader", "")
        if isinstance(error, NotLeader) and leader and leader != address:
            outlet.route.hint(outlet.partition, leader)
        elif isinstance(error, NotLeader | Unavailable | UnknownTopic) or error.outcome is Outcome.UNKNOWN:
            outlet.route.suspect(outlet.partition, address)

    def broken(
        self, connection: PublishConnection, lost: list[Attempt], unsent: list[Attempt], error: RiverrunError
    ) -> None:
        """See `publish_connection.Reports`."""
        if self._connections.get(connection.address) is connection:
            del self._connections[connection.address]
        now_s = self._loop.time()
        for attempts, sent in ((lost, True), (unsent, False)):
            for attempt in attempts:
                outlet = attempt.outlet
                assert isinstance(outlet, Outlet)
                outlet.route.suspect(outlet.partition, connection.address)
                attempt.window.lost(attempt, error, now_s, sent=sent)
                self.touch(outlet)

    # --- the end

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def close(self, error: RiverrunError) -> None:
        """Fail what is left and stop everything that was started."""
        self._accumulator.close_all()
        for topic in self._topics.values():
            for outlet in topic.outlets:
                self._settle(outlet.window.end(error))
                if outlet.wake is not None:
                    outlet.wake.cancel()
        self._closed = True
        if self._linger is not None:
            self._linger.cancel()
        for connection in list(self._connections.values()):
            await connection.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _is_busy(buffer: PartitionBuffer) -> bool:
    assert isinstance(buffer, Outlet)
    return buffer.window.batches_inside + len(buffer.closed) >= BUSY_BATCHES

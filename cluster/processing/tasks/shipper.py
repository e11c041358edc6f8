"""Outputs of committed commits on their way, while this node leads the task: `Shipping` decides, this one sends.

What is sent comes from the log: what a leader finds unshipped when it begins it reads there, and what it commits itself
it keeps until it is settled.
"""

import asyncio
from collections.abc import Callable, Sequence

import structlog

from cluster.errors import RiverrunError
from cluster.processing.commit import TaskCommit, batches
from cluster.processing.shipping import Send, Shipping
from cluster.processing.tasks.outlets import Outlets, Reply
from cluster.records import Batch
from cluster.types import PartitionId, ProducerId

log_event = structlog.get_logger()
PAUSE_S = 0.1
"""Before a destination that said no is tried again."""


class Shipper:
    """Of one task, in one term. `on_change`: something was settled, or a destination stopped."""

    def __init__(
        self,
        *,
        shipped_upto: int,
        in_flight_max: int,
        producer: ProducerId,
        outlets: Outlets,
        on_change: Callable[[], None],
    ) -> None:
        self.shipping = Shipping(shipped_upto, in_flight_max)
        self.refusals: dict[PartitionId, RiverrunError] = {}
        """Why destinations have not taken what was sent last."""
        self._producer = producer
        self._outlets = outlets
        self._on_change = on_change
        self._held: dict[int, Sequence[Batch]] = {}
        self._settled_upto = shipped_upto
        self._wake = asyncio.Event()
        self._told: set[PartitionId] = set()

    def committed(self, commit: TaskCommit) -> None:
        """The next accepted commit of the log, or one without outputs that is not read again (`nothing`)."""
        self._held[commit.n] = batches(commit, self._producer)
        self.shipping.committed(commit.n, commit.outputs)
        self._forget()
        self._wake.set()

    def nothing(self, n: int) -> None:
        """Commit `n` has no outputs."""
        self.shipping.committed(n, ())
        self._forget()

    async def run(self) -> None:
        """Send, until cancelled."""
        while True:
            self._wake.clear()
            for send in self.shipping.take():
                await self._send(send)
            self._tell_stopped()
            await self._wake.wait()

    async def _send(self, send: Send) -> None:
        held = self._held.get(send.n)
        if held is None:
            return  # settled by an earlier attempt's receipt, while another one waited for room
        try:
            reply = await self._outlets.send(send.destination, held[send.number])
        except RiverrunError as error:
            self._refused(send, error)
        else:
            reply.add_done_callback(lambda reply: self._answered(send, reply))

    def _answered(self, send: Send, reply: Reply) -> None:
        if reply.cancelled():
            return
        error = reply.exception()
        if error is None:
            self.refusals.pop(send.destination, None)
            self.shipping.received(send)
            self._forget()
        elif isinstance(error, RiverrunError):
            self._refused(send, error)
        else:
            raise error
        self._wake.set()

    def _refused(self, send: Send, error: RiverrunError) -> None:
        self.refusals[send.destination] = error
        self.shipping.refused(send, error)
        paused = self.shipping.paused
        if send.destination in paused:
            asyncio.get_running_loop().call_later(PAUSE_S, self._again, send.destination)
        self._forget()
        self._wake.set()

    def _again(self, destination: PartitionId) -> None:
        self.shipping.again(destination)
        self._wake.set()

    def _forget(self) -> None:
        for n in range(self._settled_upto + 1, self.shipping.shipped_upto + 1):
            self._held.pop(n, None)
        self._settled_upto = self.shipping.shipped_upto
        self._on_change()

    def _tell_stopped(self) -> None:
        for partition, error in self.shipping.stopped.items():
            if partition not in self._told:
                self._told.add(partition)
                log_event.warning("output_stopped", partition=str(partition), reason=error.reason, detail=error.message)

"""The handle of one produced record: await it for the record's receipt."""

import asyncio
import copy
from collections.abc import Generator
from dataclasses import replace
from typing import Any

from cluster.client.outgoing import OutgoingBatch
from cluster.errors import RiverrunError
from cluster.records import Receipt
from cluster.types import Offset


class Delivery:
    """One record on its way. Light: it shares its batch's outcome, and costs nothing more if nobody awaits it.

    `await delivery` returns the record's own `Receipt` (its offset, `record_count` 1) or raises why it was not
    acknowledged; an error whose `outcome` is `Outcome.UNKNOWN` leaves open whether the record was appended.
    A delivery may be awaited again and by many.
    """

    __slots__ = ("_batch", "_place")

    def __init__(self, batch: OutgoingBatch, place: int) -> None:
        self._batch = batch
        self._place = place

    @property
    def topic(self) -> str:
        """The topic's name."""
        return self._batch.topic

    @property
    def partition(self) -> int:
        """The partition that the record was routed to."""
        return self._batch.partition

    def done(self) -> bool:
        """Whether awaiting returns at once."""
        return self._batch.outcome is not None

    def __await__(self) -> Generator[Any, None, Receipt]:
        if self._batch.outcome is None:
            yield from wait_settled(self._batch).__await__()
        outcome = self._batch.outcome
        assert outcome is not None
        if isinstance(outcome, RiverrunError):
            self._batch.failure_seen()
            raise copy.copy(outcome) from outcome
        return replace(outcome, offset=Offset(outcome.offset + self._place), record_count=1)


async def wait_settled(batch: OutgoingBatch) -> None:
    """Return when the batch's outcome is known. One future for each who waits: cancelling one disturbs no other."""
    if batch.outcome is not None:
        return
    settled: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def wake() -> None:
        if not settled.done():
            settled.set_result(None)

    batch.when_settled(wake)
    batch.wait_begins()
    await settled

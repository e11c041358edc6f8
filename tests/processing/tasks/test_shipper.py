"""What a shipper holds, and what it does with answers that come while it waits."""

import asyncio
from collections.abc import Callable
from typing import cast

from cluster.errors import OutcomeUnknown
from cluster.processing.tasks.outlets import Outlets
from cluster.processing.tasks.shipper import Shipper
from cluster.records import Batch, Receipt
from cluster.types import PartitionId, ProducerId
from tests.processing.test_ledger import Script, out


class Way:
    """Takes batches, when it is open; answers are a test's."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.open.set()
        self.replies: list[asyncio.Future[Receipt]] = []

    async def send(self, partition: PartitionId, batch: Batch) -> asyncio.Future[Receipt]:
        """See Outlets."""
        del partition, batch
        await self.open.wait()
        self.replies.append(asyncio.get_running_loop().create_future())
        return self.replies[-1]


def shipper_on(way: Way) -> Shipper:
    """Of a task that has shipped nothing."""
    return Shipper(
        shipped_upto=0,
        in_flight_max=4,
        producer=ProducerId(9),
        outlets=cast("Outlets", way),
        on_change=lambda: None,
    )


async def turns(done: Callable[[], bool]) -> None:
    """Turns of the loop, until it is done."""
    async with asyncio.timeout(10):
        while not done():  # noqa: ASYNC110  each is progress
            await asyncio.sleep(0)


def test_commits_without_outputs_are_not_held() -> None:
    """A task that only keeps state makes them for years."""

    async def run() -> None:
        shipper, script = shipper_on(Way()), Script()
        for _ in range(100):
            commit = script.commit()
            script.do(commit)
            shipper.committed(commit)
        assert 100 == shipper.shipping.shipped_upto
        assert not shipper._held

    asyncio.run(run())


def test_what_was_settled_while_another_batch_waited_for_room_is_not_sent() -> None:
    """A receipt of an earlier attempt says that it is there."""

    async def run() -> None:
        way, script = Way(), Script()
        shipper = shipper_on(way)
        shipping = asyncio.create_task(shipper.run())
        for sequence in range(2):
            commit = script.commit(outputs=[out(sequence)])
            script.do(commit)
            shipper.committed(commit)
        await turns(lambda: len(way.replies) == 2)
        way.open.clear()
        way.replies[0].set_exception(OutcomeUnknown("its leader is another one, or the same again"))
        await turns(lambda: bool(shipper.shipping.paused))
        await turns(lambda: not shipper.shipping.paused)
        await asyncio.sleep(0)
        way.replies[1].set_result(cast("Receipt", None))
        await turns(lambda: shipper.shipping.shipped_upto == 2)
        way.open.set()
        for _ in range(10):
            await asyncio.sleep(0)
            assert not shipping.done(), shipping.exception()
        shipping.cancel()

    asyncio.run(run())

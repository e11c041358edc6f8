"""What the app writes, read as it comes, through everything that happens; and whether it is what it has to be."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from cluster.client.app_views import AppView, TaskState
from cluster.client.client import Client
from cluster.errors import RiverrunError
from examples.retail import truth
from examples.retail.purchases import Row

SILENCE_S_MAX = 90.0
"""So long without a new record, and what is missing counts as lost."""
LOOK_S = 0.1


@dataclass(frozen=True, slots=True)
class Finding:
    """What one topic, or another place, holds. `faults`: what is not as it has to be, by its key."""

    place: str
    holds: str
    faults: Sequence[str]


class Outputs:
    """The values in the app's output topics, by topic, as far as they are there."""

    def __init__(self, client: Client) -> None:
        self.values: dict[str, list[bytes]] = {name: [] for name in ("stock", "offers", "alerts", "daily-sales")}
        self.on_record: Callable[[str, bytes | None], None] = lambda _topic, _key: None
        """Called with topic and key of each record as it comes."""
        self._client = client
        self._reading: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Read from now on."""
        self._reading = [asyncio.create_task(self._read(name)) for name in self.values]

    async def stop(self) -> None:
        """Read no more; raises what went wrong in reading."""
        for task in self._reading:
            task.cancel()
        for done in await asyncio.gather(*self._reading, return_exceptions=True):
            if isinstance(done, Exception):
                raise done

    async def _read(self, name: str) -> None:
        values = self.values[name]
        async for record in self._client.read(name):
            values.append(record.value)
            self.on_record(name, record.key)

    async def arrived(self, expected: Mapping[str, int]) -> bool:
        """Wait until so many records are there at least; False: nothing new has come for SILENCE_S_MAX."""
        return await self._wait(lambda: all(len(self.values[name]) >= count for name, count in expected.items()))

    async def all_read(self, app: str) -> bool:
        """Wait until the app has nothing to do, and everything that is there is read, however much that is."""
        if not await self.at_rest(app):
            return False
        ends = {}
        for name in self.values:
            offsets = await self._client.offsets(name)
            ends[name] = sum(partition.end for partition in offsets.values())
        return await self.arrived(ends)

    async def at_rest(self, app: str) -> bool:
        """Wait until it has nothing to do; False: it has still after SILENCE_S_MAX."""
        loop = asyncio.get_running_loop()
        until_s = loop.time() + SILENCE_S_MAX
        while loop.time() < until_s:
            try:
                if is_at_rest(await self._client.describe_app(app)):
                    return True
            except RiverrunError as error:
                if not error.retry:
                    raise
            await asyncio.sleep(LOOK_S)
        return False

    async def _wait(self, enough: Callable[[], bool]) -> bool:
        loop = asyncio.get_running_loop()
        known, since_s = -1, loop.time()
        while not enough():
            for task in self._reading:
                if task.done():
                    task.result()
            count = sum(map(len, self.values.values()))
            if count != known:
                known, since_s = count, loop.time()
            if loop.time() - since_s > SILENCE_S_MAX:
                return False
            await asyncio.sleep(LOOK_S)
        return True


def expected_counts(rows: Sequence[Row], closed: Sequence[Row]) -> dict[str, int]:
    """How many records each output topic has to hold in the end."""
    return {
        "stock": len(rows),
        "offers": truth.counted(truth.offers(rows)),
        "alerts": truth.counted(truth.alerts(rows)),
        "daily-sales": len(truth.days(closed)),
    }


def findings(values: Mapping[str, Sequence[bytes]], rows: Sequence[Row], closed: Sequence[Row]) -> list[Finding]:
    """All that was read beside all that has to be there; `closed`: the purchases of the days that are over."""
    stock, offers, alerts, days = (truth.decoded(values[name]) for name in ("stock", "offers", "alerts", "daily-sales"))
    sold, made, raised, sales = truth.stock(rows), truth.offers(rows), truth.alerts(rows), truth.days(closed)
    items = sum(quantity for quantities in sold.values() for quantity in quantities)
    return [
        Finding(
            "stock",
            f"{items:,} CDs of {len(sold)} products, in {len(stock):,} steps",
            truth.unlike(truth.stock_read(stock), sold),
        ),
        Finding(
            "offers",
            f"{len(offers):,} to {len(made):,} customers, in their order",
            truth.unlike(truth.offers_read(offers), made),
        ),
        Finding(
            "alerts",
            f"{len(alerts):,} about {len(raised):,} customers",
            truth.unlike(truth.alerts_read(alerts), raised),
        ),
        Finding(
            "daily-sales",
            f"{len(days):,} days with their purchases, CDs and dollars",
            truth.unlike(truth.days_read(days), sales),
        ),
    ]


def is_at_rest(app: AppView) -> bool:
    """Whether every task has done what there is to be done, and all that came of it is where it belongs."""
    return all(
        task.unshipped_bytes == 0
        and (task.state is TaskState.FINISHED or (task.state is TaskState.RUNNING and task.lag_records == 0))
        for stage in app.stages
        for task in stage.tasks
    )

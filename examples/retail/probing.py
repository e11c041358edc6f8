"""How soon a purchase has become what is made of it: published, and timed until the outputs can be read."""

import asyncio
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

from cluster.client.client import Client
from examples.retail.purchases import Row

CUSTOMERS = 12
"""Who buy in turn, each always the same: so that each purchase but the first brings an offer."""
ANSWER_S_MAX = 60.0
MS_PER_S = 1000


@dataclass
class Latencies:
    """In seconds: `offer_s` through one processor, `stock_s` through a topic of its own as well."""

    offer_s: list[float] = field(default_factory=list)
    stock_s: list[float] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{len(self.offer_s):>4} probes   offer p50 {_percentile(self.offer_s, 50):>4.0f} ms, "
            f"p99 {_percentile(self.offer_s, 99):>4.0f} ms   "
            f"stock p50 {_percentile(self.stock_s, 50):>4.0f} ms, p99 {_percentile(self.stock_s, 99):>4.0f} ms"
        )


class Prober:
    """Buys one thing after another, each when the one before has arrived everywhere. `made`: its purchases."""

    def __init__(self, client: Client, topic: str) -> None:
        self.made = 0
        self._client = client
        self._topic = topic
        self._awaited: dict[tuple[str, bytes], asyncio.Future[float]] = {}

    def on_record(self, topic: str, key: bytes | None) -> None:
        """Something can be read."""
        waiting = self._awaited.pop((topic, key or b""), None)
        if waiting is not None and not waiting.done():
            waiting.set_result(asyncio.get_running_loop().time())

    async def begin(self, date: str) -> None:
        """The first purchase of each customer, which is no probe yet."""
        for _ in range(CUSTOMERS):
            await self._buy(date, offered=False)

    async def probe(self, date: str, into: Latencies) -> None:
        """One purchase. TimeoutError: it did not arrive."""
        offer_s, stock_s = await self._buy(date, offered=True)
        into.offer_s.append(offer_s)
        into.stock_s.append(stock_s)

    async def _buy(self, date: str, *, offered: bool) -> tuple[float, float]:
        loop = asyncio.get_running_loop()
        name = f"probe-{self.made % CUSTOMERS}"
        self.made += 1
        row = Row(date, name, name, 1, "0.01")
        wanted = [("offers", name.encode())] * offered + [("stock", name.encode())]
        arrivals = [self._awaited.setdefault(place, loop.create_future()) for place in wanted]
        begin_s = loop.time()
        await self._client.produce(self._topic, row.value, key=name.encode())
        async with asyncio.timeout(ANSWER_S_MAX):
            ends_s = await asyncio.gather(*arrivals)
        return ends_s[0] - begin_s, ends_s[-1] - begin_s


def _percentile(values: Sequence[float], percent: int) -> float:
    """In milliseconds; not a number where there are too few to say."""
    if len(values) < 2:
        return float("nan")
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1] * MS_PER_S

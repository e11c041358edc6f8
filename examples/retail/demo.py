"""`make demo`: a retailer's purchases through three nodes, with everything that is made of them, while things die.

Three real processes on loopback run the app of `app.py`: inventory, recommendations, fraud, and daily sales. 69,659
real purchases come at a steady pace; meanwhile `routes.toml` is deployed, which takes alerts and daily sales to SQLite,
to files, and to a webhook. On the way a node's processes with user code and with routes are killed (SIGKILL), and later
another node with the batches that are under way to it. Then everything is counted: the purchases against the file, and
whatever the app made of them, and the routes delivered, against what plain loops make of the same rows (`truth.py`).

Days are over when purchases of the next one have come, in every partition. So the last day of the file is followed by a
purchase of the next morning in each partition; they count like all others, but for their own day, which is still open.
"""

import argparse
import asyncio
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from rich.console import Console

from cluster import Header, connect
from cluster.client.client import Client
from cluster.client.delivery import Delivery
from cluster.errors import RiverrunError
from examples.retail.deliveries import ENVIRONMENT, Destinations, destinations
from examples.retail.outages import Deployed, Outages
from examples.retail.outputs import Finding, Outputs, expected_counts, findings
from examples.retail.purchases import Row, row_from, row_of, rows
from examples.retail.three_nodes import three_nodes

APP = Deployed("retail", Path(__file__).parent / "app.py")
ROUTES = Deployed("retail-routes", Path(__file__).parent / "routes.toml")
TOPIC = "purchases"
PARTITIONS = 6
STREAM_S = 18.0
TICK_S = 0.01
ROUTES_SHARE = 0.1
"""Of the purchases, before routes are deployed."""
EARLY = 0.2
WAITING_STREAM_S = 300.0
"""With so much sent beyond the moment of a kill that has not happened, the rest trickles: as if all took so long."""
NEXT_MORNING = "1998-07-01"
NUMBER = "row"
FAULTS_SHOWN = 5
LINES_WITHOUT_TERMINAL = 10
console = Console(highlight=False, soft_wrap=True)


@dataclass
class Totals:
    """What a set of purchases adds up to."""

    purchases: int = 0
    customers: set[str] = field(default_factory=set)
    items: int = 0
    usd: Decimal = Decimal(0)

    def add(self, row: Row) -> None:
        """One purchase more."""
        self.purchases += 1
        self.customers.add(row.customer_id)
        self.items += row.quantity
        self.usd += Decimal(row.amount_usd)

    def __str__(self) -> str:
        people = len(self.customers)
        return f"{self.purchases:,} purchases, {people:,} customers, {self.items:,} items, {self.usd:,.2f} USD"


async def main(count: int, stream_s: float, partitions: int) -> int:
    """Run it; the exit code."""
    this = asyncio.current_task()
    assert this is not None
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, this.cancel)
    purchases = rows()[:count]
    try:
        console.print("starting three nodes …")
        async with AsyncExitStack() as until_end:
            places = until_end.enter_context(destinations())
            local = await until_end.enter_async_context(three_nodes("riverrun-demo-", ENVIRONMENT))
            client = await until_end.enter_async_context(connect(local.addresses))
            await client.create_topic("daily-sales", partitions=1)  # it has one key: others would stay empty
            running = await deploy(client, APP, partitions)
            console.print(
                f"three nodes are up ({', '.join(local.addresses)}) and run {running}\n"
                f"streaming {len(purchases):,} purchases"
            )
            stream = Stream(client, purchases, stream_s)
            outages = Outages(client, local, app=APP, routes=ROUTES, topic=TOPIC, reached=stream.reached, say=say)
            return await watch(stream, outages, places, partitions)
    except (RiverrunError, TimeoutError) as error:
        console.print(f"[red]the demo failed: {str(error) or 'it took too long'}[/red]")
        return 1
    except asyncio.CancelledError:
        console.print("\nstopped before its end")
        return 130


async def deploy(client: Client, what: Deployed, partitions: int) -> str:
    """What runs now, for people."""
    deployed = await client.deploy_app(
        what.file.read_bytes(), file_name=what.file.name, create_topics=True, partitions=partitions
    )
    stages = deployed.app.stages
    names = dict.fromkeys(stage.processor for stage in stages)
    return f"{what.file.name}: {', '.join(names)}, in {sum(stage.task_count for stage in stages)} tasks"


def say(line: str) -> None:
    """A line of its own, below the bar if there is one."""
    console.print(f"\n{line}" if console.is_terminal else line)


class Stream:
    """The purchases on their way. `rows`: with those of the next morning, once they are sent."""

    def __init__(self, client: Client, purchases: Sequence[Row], stream_s: float) -> None:
        self.client = client
        self.rows = list(purchases)
        self.count = len(purchases)
        self.sent = 0
        self.pauses_s = 0.0
        """The longest time that the producer was not able to hand over a record."""
        self._stream_s = stream_s
        self._customers: dict[int, str] = {}
        """One of each partition."""
        self._acknowledged: dict[int, asyncio.Queue[Delivery]] = {}
        self._watching: list[asyncio.Task[None]] = []
        self._lines = 0

    async def reached(self, share: float) -> None:
        """Wait until so much is sent, from 0 to 1."""
        while self.sent < share * self.count:  # noqa: ASYNC110
            await asyncio.sleep(TICK_S)

    async def run(self, outages: Outages, outputs: Outputs) -> None:
        """Send all rows in their time, then the next morning's; return when all are acknowledged."""
        loop = asyncio.get_running_loop()
        begin_s = loop.time()
        try:
            async for due in self._pace(outages):
                before_s = loop.time()
                while self.sent < due:
                    await self._send(self.rows[self.sent], outages)
                self.pauses_s = max(self.pauses_s, loop.time() - before_s)
                self._progress(len(outputs.values["stock"]), loop.time() - begin_s)
            morning = [row_of(NEXT_MORNING, customer, "1", "9.99") for _, customer in sorted(self._customers.items())]
            self.rows += morning
            for row in morning:
                await self._send(row, outages)
            await self.client.flush()
            say(f"and {len(morning)} of the next morning, one in each partition: the last day is over")
        finally:
            for task in self._watching:
                task.cancel()

    async def _pace(self, outages: Outages) -> AsyncIterator[int]:
        """How many rows are due, tick by tick."""
        loop = asyncio.get_running_loop()
        due, last_s = 0.0, loop.time()
        while int(due) < self.count:
            await asyncio.sleep(TICK_S)
            is_early = self.sent > self.count * (outages.next_at + EARLY)
            elapsed_s, last_s = loop.time() - last_s, loop.time()
            due += self.count * elapsed_s / (WAITING_STREAM_S if is_early else self._stream_s)
            yield min(self.count, int(due))

    async def _send(self, row: Row, outages: Outages) -> None:
        delivery = await self.client.produce(
            TOPIC,
            row.value,
            key=row.customer_id.encode(),
            headers=(Header(name=NUMBER, value=str(self.sent).encode()),),
        )
        self.sent += 1
        partition = delivery.partition
        self._customers.setdefault(partition, row.customer_id)
        if partition not in self._acknowledged:
            self._acknowledged[partition] = asyncio.Queue()
            self._watching.append(asyncio.create_task(self._watch(partition, outages)))
        self._acknowledged[partition].put_nowait(delivery)

    async def _watch(self, partition: int, outages: Outages) -> None:
        """The longest time without an acknowledgement in the partition whose leader was killed."""
        loop = asyncio.get_running_loop()
        last_s = loop.time()
        while True:
            await (await self._acknowledged[partition].get())
            now_s, outage = loop.time(), outages.of_node
            if partition == outage.partition and now_s > outage.at_s:
                outage.longest_gap_s = max(outage.longest_gap_s, now_s - max(last_s, outage.at_s))
            last_s = now_s

    def _progress(self, counted: int, elapsed_s: float) -> None:
        acknowledged = self.client.report().records_acknowledged
        bar = "█" * (30 * self.sent // self.count)
        line = (
            f"\r{bar:<30} {self.sent:>6,} sent  {acknowledged:>6,} acknowledged  {counted:>6,} in stock's totals  "
            f"{elapsed_s:4.1f} s"
        )
        if console.is_terminal:
            console.print(line, end="")
        elif self.sent * LINES_WITHOUT_TERMINAL // self.count > self._lines:
            self._lines += 1
            console.print(line.strip())


async def disturb(stream: Stream, outages: Outages, partitions: int) -> None:
    """Routes beside the app, once it runs; then kill what there is."""
    await stream.reached(ROUTES_SHARE)
    say(f"deployed {await deploy(stream.client, ROUTES, partitions)}")
    await outages.run()


async def watch(stream: Stream, outages: Outages, places: Destinations, partitions: int) -> int:
    """Send, kill, wait for what comes of it, count; the exit code."""
    client = stream.client
    outputs = Outputs(client)
    outputs.start()
    work = [
        asyncio.create_task(stream.run(outages, outputs)),
        asyncio.create_task(disturb(stream, outages, partitions)),
    ]
    try:
        await asyncio.gather(*work)
        closed = [row for row in stream.rows if row.date < NEXT_MORNING]
        if not await outputs.arrived(expected_counts(stream.rows, closed)) or not await outputs.all_read(APP.name):
            console.print("[red]the app has not made all that it has to make; what is there:[/red]")
        elif not await outputs.at_rest(ROUTES.name):
            console.print("[red]the routes have not delivered all that they have to deliver; what is there:[/red]")
    finally:
        for task in work:
            task.cancel()
        await outputs.stop()
    kept = await purchases_are_kept(client, stream)
    made, delivered = findings(outputs.values, stream.rows, closed), places.findings(stream.rows, closed)
    tell(made)
    console.print(f"delivered by {ROUTES.file.name}:")
    tell(delivered)
    tell_outages(client, stream, outages)
    good = (
        kept
        and not any(finding.faults for finding in (*made, *delivered))
        and outages.all_killed
        and outages.of_code.again_after_s > 0
    )
    console.print(
        "[green]every purchase is there, once, in order; every total and every delivery is that of the file[/green]"
        if good
        else "[red]FAILED[/red]"
    )
    return 0 if good else 1


async def purchases_are_kept(client: Client, stream: Stream) -> bool:
    """Read them all back and count."""
    expected, found = Totals(), Totals()
    for row in stream.rows:
        expected.add(row)
    seen: Counter[int] = Counter()
    last_row: dict[str, int] = {}
    reordered = changed = 0
    async for record in client.read(TOPIC, until="latest"):
        number = int(record.headers[0].value)
        row = row_from(record.value)
        seen[number] += 1
        found.add(row)
        changed += number >= len(stream.rows) or stream.rows[number] != row
        reordered += last_row.get(row.customer_id, -1) >= number
        last_row[row.customer_id] = number
    lost = len(stream.rows) - len(seen)
    twice = sum(count - 1 for count in seen.values())
    console.print(f"expected  {expected}\nread back {found}")
    console.print(f"lost {lost}, duplicated {twice}, reordered per customer {reordered}, changed {changed}")
    return not (lost or twice or reordered or changed) and str(expected) == str(found)


def tell(found: Sequence[Finding]) -> None:
    """What is there, and whether it is what plain loops make of the file."""
    for finding in found:
        verdict = "[green]equal[/green]" if not finding.faults else f"[red]{len(finding.faults)} differ[/red]"
        console.print(f"{finding.place:<11}  {finding.holds:<62}  {verdict}")
        for fault in finding.faults[:FAULTS_SHOWN]:
            console.print(f"    {fault}", markup=False)


def tell_outages(client: Client, stream: Stream, outages: Outages) -> None:
    """What they cost."""
    node, code, report = outages.of_node, outages.of_code, client.report()
    console.print(
        f"user code and routes on node {code.node} were killed with {code.records_to_go:,} records to process and "
        f"{code.deliveries_to_go:,} to deliver; they were there again after {code.again_after_s * 1000:.0f} ms\n"
        f"node {node.node} was killed with {node.batches_under_way} batches under way; "
        f"{report.batches_sent_again} were sent again, {report.duplicates} of them had been kept already\n"
        f"partition {node.partition} took no records for {node.longest_gap_s * 1000:.0f} ms; "
        f"the producer never waited longer than {stream.pauses_s * 1000:.0f} ms"
    )


def options() -> argparse.Namespace:
    """Less of everything, for a test."""
    parser = argparse.ArgumentParser(prog="make demo", description="A retailer's purchases, while things die.")
    parser.add_argument("--purchases", type=int, default=1_000_000, help="the first so many of the file")
    parser.add_argument("--stream-s", type=float, default=STREAM_S, help="seconds in which they come")
    parser.add_argument("--partitions", type=int, default=PARTITIONS)
    return parser.parse_args()


if __name__ == "__main__":
    given = options()
    sys.exit(asyncio.run(main(given.purchases, given.stream_s, given.partitions)))

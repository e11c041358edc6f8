"""`make demo`: three nodes keep every purchase while a leader is killed.

Three real processes on loopback. 69,659 real purchases go into a topic of 12 partitions at a steady pace; half-way the
node that leads a partition is killed (SIGKILL) while batches to it are under way, and started again. Then everything is
read back and counted against the file: nothing lost, nothing twice, every customer's purchases in their order.
"""

import asyncio
import csv
import shutil
import signal
import socket
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from rich.console import Console

from cluster import Header, connect
from cluster.cli.dev import wait_ready
from cluster.cli.local import PEER_PORT_STEP, LocalCluster
from cluster.client.client import Client
from cluster.client.delivery import Delivery
from cluster.errors import RiverrunError

PURCHASES = Path(__file__).parent / "purchases.csv"
TOPIC = "purchases"
PARTITIONS = 12
STREAM_S = 18.0
RESTART_AFTER_S = 3.0
TICK_S = 0.01
ROW = "row"
console = Console(highlight=False, soft_wrap=True)
LINES_WITHOUT_TERMINAL = 10


@dataclass
class Totals:
    """What a set of purchases adds up to."""

    purchases: int = 0
    customers: set[str] = field(default_factory=set)
    items: int = 0
    usd: Decimal = Decimal(0)

    def add(self, row: list[str]) -> None:
        """One purchase more."""
        self.purchases += 1
        self.customers.add(row[1])
        self.items += int(row[2])
        self.usd += Decimal(row[3])

    def __str__(self) -> str:
        people = len(self.customers)
        return f"{self.purchases:,} purchases, {people:,} customers, {self.items:,} items, {self.usd:,.2f} USD"


@dataclass
class Outage:
    """The kill, and what it cost."""

    node: int = 0
    partition: int = -1
    batches_under_way: int = 0
    at_s: float = 0.0
    longest_gap_s: float = 0.0
    pauses_s: float = 0.0
    """The longest time that the producer was not able to hand over a record."""


async def main() -> int:
    """Run it; the exit code."""
    running = asyncio.current_task()
    assert running is not None
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, running.cancel)
    with PURCHASES.open(newline="") as file:
        rows = list(csv.reader(file))[1:]
    folder = Path(tempfile.mkdtemp(prefix="riverrun-demo-"))
    local = LocalCluster(folder, nodes=3, port=_free_port())
    try:
        console.print("starting three nodes …")
        local.start_all()
        await wait_ready(local)
        async with connect(local.addresses) as client:
            await client.create_topic(TOPIC, partitions=PARTITIONS, replicas=3)
            console.print(f"three nodes are up ({', '.join(local.addresses)}); streaming {len(rows):,} purchases")
            outage = await stream(client, local, rows)
            return await verify(client, rows, outage)
    except RiverrunError as error:
        console.print(f"[red]the demo failed: {error}[/red]")
        return 1
    except asyncio.CancelledError:
        console.print("\nstopped before its end")
        return 130
    finally:
        local.stop()
        shutil.rmtree(folder, ignore_errors=True)


async def stream(client: Client, local: LocalCluster, rows: list[list[str]]) -> Outage:
    """Produce all rows in STREAM_S seconds; half-way kill a leader, some seconds later start it again."""
    outage = Outage()
    acknowledged: dict[int, asyncio.Queue[Delivery]] = {number: asyncio.Queue() for number in range(PARTITIONS)}
    watch = [asyncio.create_task(_watch(queue, number, outage)) for number, queue in acknowledged.items()]
    try:
        loop = asyncio.get_running_loop()
        start = loop.time()
        restart: asyncio.Task[None] | None = None
        sent = 0
        async for due in _pace(len(rows)):
            before = loop.time()
            while sent < due:
                row = rows[sent]
                delivery = await client.produce(
                    TOPIC,
                    ",".join(row).encode(),
                    key=row[1].encode(),
                    headers=(Header(name=ROW, value=str(sent).encode()),),
                )
                acknowledged[delivery.partition].put_nowait(delivery)
                sent += 1
            outage.pauses_s = max(outage.pauses_s, loop.time() - before)
            if restart is None and sent >= len(rows) // 2:
                restart = await _kill(client, local, outage)
            _progress(sent, len(rows), loop.time() - start, client)
        await client.flush()
        console.print()
        assert restart is not None
        await restart
    finally:
        for task in watch:
            task.cancel()
    return outage


async def _pace(count: int) -> AsyncIterator[int]:
    """How many rows are due, tick by tick."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    due = 0
    while due < count:
        await asyncio.sleep(TICK_S)
        due = min(count, int((loop.time() - start) / STREAM_S * count) + 1)
        yield due


async def _kill(client: Client, local: LocalCluster, outage: Outage) -> "asyncio.Task[None] | None":
    """SIGKILL the leader of the partition with most under way; None if nothing is under way right now."""
    under_way = client.batches_under_way(TOPIC)
    partition = max(under_way, key=lambda number: under_way[number])
    if not under_way[partition]:
        return None
    topic = await client.describe_topic(TOPIC)
    under_way = client.batches_under_way(TOPIC)
    led = defaultdict(list)
    for item in topic.partitions:
        if item.leader is not None:
            led[int(item.leader)].append(item.number)
    node = max(led, key=lambda number: sum(under_way[p] for p in led[number]))
    outage.batches_under_way = sum(under_way[number] for number in led[node])
    if not outage.batches_under_way:
        return None
    outage.node = node
    outage.partition = max(led[node], key=lambda number: under_way[number])
    local.kill(node)
    outage.at_s = asyncio.get_running_loop().time()
    console.print(
        f"\nkilled node {node} (SIGKILL), the leader of {len(led[node])} partitions, "
        f"with {outage.batches_under_way} batches to it under way"
    )
    return asyncio.create_task(_restart(local, node))


async def _restart(local: LocalCluster, node: int) -> None:
    await asyncio.sleep(RESTART_AFTER_S)
    local.start(node)
    console.print(f"\nstarted node {node} again")
    await wait_ready(local)
    console.print("\nall three nodes are back")


async def _watch(queue: "asyncio.Queue[Delivery]", number: int, outage: Outage) -> None:
    """The longest time without an acknowledgement in the partition whose leader was killed."""
    loop = asyncio.get_running_loop()
    last = loop.time()
    while True:
        await (await queue.get())
        now = loop.time()
        if number == outage.partition and now > outage.at_s:
            outage.longest_gap_s = max(outage.longest_gap_s, now - max(last, outage.at_s))
        last = now


def _progress(sent: int, count: int, elapsed_s: float, client: Client) -> None:
    done = client.report().records_acknowledged
    bar = "█" * (30 * sent // count)
    line = f"\r{bar:<30} {sent:>6,} sent  {done:>6,} acknowledged  {elapsed_s:4.1f} s"
    if console.is_terminal:
        console.print(line, end="")
    elif sent * LINES_WITHOUT_TERMINAL // count > _lines_printed[0]:
        _lines_printed[0] += 1
        console.print(line.strip())


_lines_printed = [0]


async def verify(client: Client, rows: list[list[str]], outage: Outage) -> int:
    """Read everything back and count; the exit code."""
    expected, found = Totals(), Totals()
    for row in rows:
        expected.add(row)
    seen: Counter[int] = Counter()
    last_row: dict[str, int] = {}
    reordered = wrong = 0
    async for record in client.read(TOPIC, until="latest"):
        number = int(record.headers[0].value)
        row = record.value.decode().split(",")
        seen[number] += 1
        found.add(row)
        wrong += number >= len(rows) or rows[number] != row
        reordered += last_row.get(row[1], -1) >= number
        last_row[row[1]] = number
    lost = len(rows) - len(seen)
    twice = sum(count - 1 for count in seen.values())
    report = client.report()
    console.print(f"expected  {expected}\nread back {found}")
    console.print(
        f"lost {lost}, duplicated {twice}, reordered per customer {reordered}, changed {wrong}\n"
        f"node {outage.node} was killed with {outage.batches_under_way} batches under way; "
        f"{report.batches_sent_again} were sent again, {report.duplicates} of them had been kept already\n"
        f"partition {outage.partition} took no records for {outage.longest_gap_s * 1000:.0f} ms; "
        f"the producer never waited longer than {outage.pauses_s * 1000:.0f} ms"
    )
    good = not (lost or twice or reordered or wrong) and str(expected) == str(found) and outage.batches_under_way > 0
    console.print("[green]every purchase is there, once, in order[/green]" if good else "[red]FAILED[/red]")
    return 0 if good else 1


def _free_port() -> int:
    """A port whose neighbours are free as well, for nodes and for their peers."""
    for port in range(17171, 27171, 10):
        try:
            for offset in (0, 1, 2, PEER_PORT_STEP, PEER_PORT_STEP + 1, PEER_PORT_STEP + 2):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port + offset))
        except OSError:
            continue
        return port
    raise SystemExit("no free ports on loopback")


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))

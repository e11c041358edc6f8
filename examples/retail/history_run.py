"""`make history`: a bounded job over history beside a live app, and what the live one's latency is with and without it.

Three real processes on loopback run `app.py`. First much of the file comes at once: that is the history. Then the rest
comes at a steady pace, and probes time how soon a purchase has become an offer and a total of stock: first alone; then
while `history.py` reads all that was appended before a moment; then alone again. In the end what the job came to is
compared with what plain loops make of the purchases that were appended before that moment, and what the live app came
to with all of them.
"""

import argparse
import asyncio
import datetime as dt
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from cluster import connect
from cluster.cli.app_report import state_of
from cluster.client.app_views import AppView, TaskState
from cluster.client.client import Client
from cluster.client.positions import AtAppendTime
from cluster.errors import RiverrunError
from examples.retail import history, truth
from examples.retail.outputs import Outputs
from examples.retail.probing import Latencies, Prober
from examples.retail.purchases import Row, row_from, rows
from examples.retail.three_nodes import three_nodes

LIVE = Path(__file__).parent / "app.py"
JOB_FILE = Path(history.__file__)
JOB = JOB_FILE.read_text()
TOPIC = "purchases"
PREFIX = "history-"
TICK_S = 0.02
LOOK_S = 0.25
JOB_S_MAX = 600.0
FAULTS_SHOWN = 5
NS_PER_US = 1000
console = Console(highlight=False, soft_wrap=True)


async def main(given: argparse.Namespace) -> int:
    """Run it; the exit code."""
    running = asyncio.current_task()
    assert running is not None
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, running.cancel)
    try:
        console.print("starting three nodes …")
        async with three_nodes("riverrun-history-") as local, connect(local.addresses) as client:
            await client.deploy_app(
                LIVE.read_bytes(), file_name=LIVE.name, create_topics=True, partitions=given.partitions
            )
            console.print(f"three nodes are up and run {LIVE.name}")
            run = Run(client, given)
            try:
                return await run.run()
            finally:
                await run.stop()
    except (RiverrunError, TimeoutError) as error:
        console.print(f"[red]failed: {str(error) or 'it took too long'}[/red]")
        return 1
    except asyncio.CancelledError:
        console.print("\nstopped before its end")
        return 130


class Run:
    """One run, on a cluster that is there for it."""

    def __init__(self, client: Client, given: argparse.Namespace) -> None:
        self._client = client
        self._given = given
        self._rows = rows()
        self._sent = 0
        self._prober = Prober(client, TOPIC)
        self._live = Outputs(client)
        self._live.on_record = self._prober.on_record
        self._streaming: asyncio.Task[None] | None = None

    async def run(self) -> int:
        """All of it; the exit code."""
        given = self._given
        self._live.start()
        while self._sent < given.history:
            await self._send()
        await self._client.flush()
        if not await self._live.arrived({"stock": self._sent}):
            raise TimeoutError("the live app did not catch up")
        console.print(f"{self._sent:,} purchases are history; {given.rate} a second come from now on")
        self._streaming = asyncio.create_task(self._stream())
        await self._prober.begin(self._date)
        without = await self._probe(given.probes)
        until, beside, took_s = await self._beside_job()
        after = await self._probe(given.probes)
        await self.stop()
        await self._client.flush()
        console.print(f"the job took {took_s:.1f} s, until its tasks said that they are finished")
        console.print(
            f"live, without the job   {without}\nlive, beside the job    {beside}\nlive, after the job     {after}"
        )
        good = await self._job_is_right(until) & await self._live_is_right()
        console.print("[green]all totals are equal[/green]" if good else "[red]FAILED[/red]")
        return 0 if good else 1

    async def stop(self) -> None:
        """No more purchases; raises what went wrong with them."""
        if self._streaming is not None:
            self._streaming.cancel()
            await asyncio.gather(self._streaming, return_exceptions=True)
            if not self._streaming.cancelled() and (error := self._streaming.exception()) is not None:
                raise error

    # --- purchases

    @property
    def _date(self) -> str:
        return self._rows[min(self._sent, len(self._rows) - 1)].date

    async def _send(self) -> None:
        row = self._rows[self._sent]
        await self._client.produce(TOPIC, row.value, key=row.customer_id.encode())
        self._sent += 1

    async def _stream(self) -> None:
        """At a steady pace, as long as there are some."""
        loop = asyncio.get_running_loop()
        begin_s, first = loop.time(), self._sent
        while self._sent < len(self._rows):
            due = first + int((loop.time() - begin_s) * self._given.rate)
            while self._sent < min(due, len(self._rows)):
                await self._send()
            await asyncio.sleep(TICK_S)

    async def _probe(self, count: int) -> Latencies:
        found = Latencies()
        for _ in range(count):
            await self._prober.probe(self._date, found)
        return found

    # --- the job

    async def _beside_job(self) -> tuple[int, Latencies, float]:
        """Deploy it with the present as its end, and probe until it is finished; its `until`, in nanoseconds."""
        loop = asyncio.get_running_loop()
        now = dt.datetime.now(dt.UTC)  # noqa: TID251  no world here: this is outside of the cluster
        assert history.UNTIL in JOB
        content = JOB.replace(history.UNTIL, now.isoformat().replace("+00:00", "Z"))
        begin_s = loop.time()
        deployed = await self._client.deploy_app(content.encode(), file_name=JOB_FILE.name)
        name = deployed.app.name
        console.print(f"deployed {JOB_FILE.name} as {name!r}, until {now:%H:%M:%S.%f}")
        finishing = asyncio.create_task(self._finished(name))
        found = Latencies()
        try:
            async with asyncio.timeout(JOB_S_MAX):
                while not finishing.done():
                    await self._prober.probe(self._date, found)
                app = await finishing
        finally:
            finishing.cancel()
        took_s = loop.time() - begin_s
        console.print("\n".join(f"    {stage.name:<16} {state_of(stage)}" for stage in app.stages))
        epoch = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
        return (now - epoch) // dt.timedelta(microseconds=1) * NS_PER_US, found, took_s

    async def _finished(self, name: str) -> AppView:
        """The app, when each of its tasks says that it is finished."""
        while True:
            try:
                app = await self._client.describe_app(name)
                if all(task.state is TaskState.FINISHED for stage in app.stages for task in stage.tasks):
                    return app
            except RiverrunError as error:
                if not error.retry:
                    raise
            await asyncio.sleep(LOOK_S)

    # --- what came of it

    async def _purchases(self, until_ns: int | None = None) -> list[Row]:
        """What is in the topic; with an end, what was appended before."""
        until = {}
        for number, found in (await self._client.offsets(TOPIC)).items():
            until[number] = found.end
        if until_ns is not None:
            for number, found in (await self._client.offsets(TOPIC, at=AtAppendTime(until_ns))).items():
                until[number] = found.at if found.at is not None else found.end
        return [row_from(record.value) async for record in self._client.read(TOPIC, until=until)]

    async def _values(self, topic: str) -> truth.Events:
        return truth.decoded([record.value async for record in self._client.read(topic, until="latest")])

    async def _job_is_right(self, until_ns: int) -> bool:
        before = await self._purchases(until_ns)
        total = len(await self._purchases())
        console.print(f"{len(before):,} of {total:,} purchases were appended before the job's end; of these:")
        stock = truth.stock_read(await self._values(PREFIX + "stock"))
        days = truth.days_read(await self._values(PREFIX + "daily-sales"))
        return _told(f"the job's stock, {len(stock)} products", truth.unlike(stock, truth.stock(before))) & _told(
            f"the job's daily sales, {len(days)} days", truth.unlike(days, truth.days(before))
        )

    async def _live_is_right(self) -> bool:
        bought = await self._purchases()
        if not await self._live.arrived({"stock": len(bought)}) or not await self._live.all_read("retail"):
            console.print("[red]the live app has not made all that it has to make[/red]")
        await self._live.stop()
        stock = truth.stock_read(truth.decoded(self._live.values["stock"]))
        offers = truth.offers_read(truth.decoded(self._live.values["offers"]))
        return _told(f"live stock, {len(stock)} products", truth.unlike(stock, truth.stock(bought))) & _told(
            f"live offers, to {len(offers):,} customers", truth.unlike(offers, truth.offers(bought))
        )


def _told(what: str, faults: Sequence[str]) -> bool:
    console.print(f"    {what:<40} {'[green]equal[/green]' if not faults else f'[red]{len(faults)} differ[/red]'}")
    for fault in faults[:FAULTS_SHOWN]:
        console.print(f"        {fault}", markup=False)
    return not faults


def options() -> argparse.Namespace:
    """Less of everything, for a test."""
    parser = argparse.ArgumentParser(prog="make history", description="A bounded job over history beside a live app.")
    parser.add_argument("--history", type=int, default=40_000, help="purchases that come first, at once")
    parser.add_argument("--rate", type=int, default=500, help="purchases a second that come afterwards")
    parser.add_argument("--probes", type=int, default=300, help="without the job, before it and after it")
    parser.add_argument("--partitions", type=int, default=6)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(asyncio.run(main(options())))

"""`make bench`: riverrun beside its yardsticks, interleaved, five times; the medians as a table.

Options: --rounds N, --data-dir DIR (on a real disk), --scale X (of the amounts), --skip-idle, --only-processing,
--only-routes.
"""

import argparse
import asyncio
import json
import shutil
from collections import defaultdict
from pathlib import Path

import uvloop
from rich.console import Console

from cluster import connect
from cluster.cli.dev import wait_ready
from cluster.cli.local import LocalCluster
from tests.bench import postgres, processing, route_loops, workload, yardsticks
from tests.bench.idle import idle_cpu
from tests.bench.machine import machine
from tests.bench.over_http import publish_over_http
from tests.bench.report import (
    AS_MEMBER,
    MEMBER_SHAPE,
    OVER_HTTP,
    SHAPES,
    YARDSTICK,
    Figures,
    latency_table,
    median,
    member_line,
    processing_line,
    processing_table,
    routes_table,
    shape_name,
    throughput_table,
)
from tests.bench.yardsticks import Latencies
from tests.servers import find_program

PORT = 17_400
PIPELINE_PORT = 17_500
ECHO_PORT = 17_600
MB = 1e6
CLUSTER, PROCESSING, ROUTES = "cluster", "processing", "routes"
"""Parts of a run."""


class Bench:
    """Collects figures by name."""

    def __init__(self, directory: Path, scale: float) -> None:
        self.directory = directory
        self.scale = scale
        self.figures: Figures = defaultdict(list)
        self.console = Console(stderr=True)

    def note(self, name: str, value: float) -> None:
        """One measurement."""
        self.figures[name].append(value)
        self.console.print(f"  {name}: {value:,.2f}", highlight=False)

    def note_latency(self, name: str, found: Latencies) -> None:
        """Two measurements."""
        self.note(f"{name} p50 ms", found.p50_ms)
        self.note(f"{name} p99 ms", found.p99_ms)

    async def yardsticks(self) -> None:
        """What the machine can do, just now."""
        total = int(200e6 * self.scale)
        self.note("disk MB/s", yardsticks.disk_bytes_per_s(self.directory, total) / MB)
        self.note_latency("disk single", yardsticks.disk_latency(self.directory, int(300 * self.scale) + 1))
        with yardsticks.echo(ECHO_PORT):
            self.note("gRPC MB/s", await yardsticks.stream_bytes_per_s(ECHO_PORT, total) / MB)
            self.note_latency("gRPC single", await yardsticks.stream_latency(ECHO_PORT, int(1000 * self.scale) + 1))
        with yardsticks.pipeline(PIPELINE_PORT, self.directory):
            self.note(f"{YARDSTICK} MB/s", await yardsticks.stream_bytes_per_s(PIPELINE_PORT, 2 * total) / MB)
            latency = await yardsticks.stream_latency(PIPELINE_PORT, int(1000 * self.scale) + 1)
            self.note_latency(f"{YARDSTICK} single", latency)

    async def riverrun(self, number: int) -> None:
        """One round on a cluster of its own."""
        data = self.directory / "cluster"
        shutil.rmtree(data, ignore_errors=True)
        local = LocalCluster(data, nodes=3, port=PORT)
        local.start_all()
        try:
            await wait_ready(local)
            async with connect(local.addresses, options=workload.OPTIONS) as client:
                for size, partitions in SHAPES:
                    topic = f"bench-{size}-{partitions}-{number}"
                    await client.create_topic(topic, partitions=partitions)
                    values = workload.Values(size, int((120e6 if size > 500 else 30e6) * self.scale) // size)
                    name = shape_name(size, partitions)
                    produced = await workload.produce(client, topic, values)
                    self.note(f"produce {name} MB/s", produced.bytes_per_s / MB)
                    self.note(f"produce {name} records/s", produced.records_per_s)
                    read = await workload.read_back(client, topic, values)
                    self.note(f"read {name} MB/s", read.bytes_per_s / MB)
                    self.note(f"read {name} records/s", read.records_per_s)
                    if (size, partitions) == MEMBER_SHAPE:
                        delivered = await workload.read_as_member(client, topic, values)
                        self.note(f"{AS_MEMBER} MB/s", delivered.bytes_per_s / MB)
                        self.note(f"{AS_MEMBER} records/s", delivered.records_per_s)
                topic = await client.create_topic("over-http")
                leader = topic.partitions[0].leader or local.nodes[0]
                count = int(20_000 * self.scale) + 1
                posted = await asyncio.to_thread(publish_over_http, local.http_address(leader), "over-http", count)
                self.note(f"{OVER_HTTP} MB/s", posted.bytes_per_s / MB)
                self.note(f"{OVER_HTTP} records/s", posted.records_per_s)
                await client.create_topic("single")
                await client.publish("single", b"first")
                self.note_latency("single", await workload.single_latency(client, "single", int(1000 * self.scale) + 1))
                await client.create_topic("steady", partitions=12)
                self.note_latency("steady", await workload.steady_latency(client, "steady", 3 * self.scale))
        finally:
            local.stop()
            shutil.rmtree(data, ignore_errors=True)

    async def routes(self) -> None:
        """Expressions beside a loop; changes of a table, where there is a PostgreSQL, beside the raw stream."""
        for name, rate in route_loops.measured(passes=int(1000 * self.scale) + 1).items():
            self.note(f"{route_loops.KIND}: {name}", rate)
        if find_program("postgres") is not None:
            data = self.directory / "routes"
            shutil.rmtree(data, ignore_errors=True)
            await postgres.measure(data, self.scale, self.note)


async def measure(bench: Bench, rounds: int, parts: frozenset[str], *, idle: bool) -> None:
    """Interleaved rounds, and then the idle cluster."""
    for number in range(rounds):
        bench.console.print(f"round {number + 1} of {rounds}")
        if CLUSTER in parts:
            await bench.yardsticks()
            await bench.riverrun(number)
        if PROCESSING in parts:
            await processing.measure(bench.directory, bench.scale, bench.note)
        if ROUTES in parts:
            await bench.routes()
    if CLUSTER in parts and idle:
        bench.console.print("an idle cluster with 1,000 partitions")
        bench.note("idle % of a core", 100 * await idle_cpu(bench.directory, PORT))


def run(options: argparse.Namespace) -> None:
    """Measure, then print."""
    directory = Path(options.data_dir).resolve()
    directory.mkdir(parents=True, exist_ok=True)
    where = machine(directory)
    only = {part for part in (PROCESSING, ROUTES) if getattr(options, f"only_{part}")}
    parts = frozenset(only or {CLUSTER, PROCESSING, ROUTES})
    bench = Bench(directory, options.scale)
    try:
        uvloop.run(measure(bench, options.rounds, parts, idle=not options.skip_idle))
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    out = Console(width=None if Console().is_terminal else 110)
    out.print(where, highlight=False)
    if CLUSTER in parts:
        out.print(
            f"{options.rounds} interleaved rounds; three nodes, everything synced, every byte read back and compared"
        )
        out.print(throughput_table(bench.figures))
        out.print(member_line(bench.figures))
        out.print(latency_table(bench.figures))
    if PROCESSING in parts:
        out.print(processing_table(bench.figures))
        out.print(processing_line(bench.figures))
    if ROUTES in parts:
        out.print(routes_table(bench.figures))
    if CLUSTER in parts and not options.skip_idle:
        idle = median(bench.figures, "idle % of a core")
        out.print(f"idle, 3 nodes with 1,000 partitions: {idle:.1f} % of one core, over all three")
    if options.json:
        Path(options.json).write_text(json.dumps({"machine": where, "figures": bench.figures}, indent=1))


def main() -> None:
    """Parse and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--data-dir", default=".bench")
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--skip-idle", action="store_true")
    parser.add_argument("--only-processing", action="store_true", help="user code alone, without a cluster")
    parser.add_argument("--only-routes", action="store_true", help="expressions, and changes captured from PostgreSQL")
    parser.add_argument("--json", default="", help="write every figure there")
    run(parser.parse_args())


if __name__ == "__main__":
    main()

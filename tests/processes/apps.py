"""Apps on real nodes: small limits for user code, an app whose records say what harm they do, and a probe beside it."""

import asyncio
import contextlib
import json
import math
import os
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from pathlib import Path

from cluster.cli.local import LocalCluster
from cluster.client.app_views import AppView, DeploymentView, StageView, TaskView
from cluster.client.client import Client
from cluster.errors import RiverrunError

LIMITS = """
[processing]
work_s_max = 1.0
host_start_s_max = 5.0
host_memory_bytes_max = 314572800
restart_s_max = 0.5
host_idle_s = 1.0
"""
PATIENCE_S = 60.0
LOOK_S = 0.2
PROBE_EACH_S = 0.02
PROBE_TOPIC = "probe"
TILLS = [f"t{number}" for number in range(6)]
APP = """
import ctypes
import os
import signal
import sys
import time

from cluster.processing.app import App
from cluster.processing.event import Event
from cluster.processing.handles import State
from cluster.processing.policies import dead_letter, skip, stop

hoard = []


class Sale(Event):
    till: str
    number: int
    harm: str = ""


class Count(Event):
    till: str
    number: int
    count: int


def spin() -> None:
    while True:
        pass


def leak() -> None:
    while True:
        hoard.append(bytearray(1 << 20))


def fork() -> None:
    for _ in range(20):
        if os.fork() == 0:
            time.sleep(600)
    os._exit(0)


def open_files() -> None:
    hoard.extend(os.open(os.devnull, os.O_RDONLY) for _ in iter(int, 1))


def say(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        print("x" * 1_000)


HARM = {{
    "raise": lambda: 1 / 0,
    "exit": lambda: os._exit(3),
    "quit": lambda: sys.exit("enough"),
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "crash": lambda: ctypes.string_at(0),
    "hang": lambda: time.sleep(3600),
    "spin": spin,
    "leak": leak,
    "fork": fork,
    "files": open_files,
    "print": lambda: say(3600),
    "babble": lambda: say(0.5),
    "close": lambda: os.closerange(3, 4096),
    "garble": lambda: [os.write(fd, b"nonsense" * 100) for fd in map(int, os.listdir("/proc/self/fd")) if fd > 2],
}}

app = App("{app}")
sales = app.topic("{app}-sales", Sale, key="till")


@app.processor(sales, to="{app}-counts", version={version}, on_error={on_error})
def count(sale: Sale, seen: State[{state}]) -> Count:
    {body}
    seen.value += 1
    return Count(sale.till, sale.number, seen.value)
"""
HARMFUL = "if sale.harm:\n        HARM[sale.harm]()"


def code(app: str, *, on_error: str = "stop()", version: int = 1, body: str = HARMFUL, state: str = "int") -> bytes:
    """The app's file."""
    return APP.format(app=app, on_error=on_error, version=version, body=body, state=state).encode()


def mended(app: str, *, on_error: str = "stop()", version: int = 1) -> bytes:
    """The same, and no record does any harm."""
    return code(app, on_error=on_error, version=version, body="pass")


def limit(cluster: LocalCluster, text: str = LIMITS) -> None:
    """Add to the nodes' configurations, before they are started."""
    for node in cluster.nodes:
        with cluster.config_path(node).open("a") as file:
            file.write(text)


def sale(number: int, harm: str = "", *, till: str = "") -> bytes:
    """One record."""
    return json.dumps({"till": till or TILLS[number % len(TILLS)], "number": number, "harm": harm}).encode()


async def sell(client: Client, app: str, sales: Iterable[bytes]) -> None:
    """Publish them, in their order; all are acknowledged when this returns."""
    deliveries = [
        await client.produce(f"{app}-sales", value, key=json.loads(value)["till"].encode()) for value in sales
    ]
    await client.flush()
    await asyncio.gather(*deliveries)


def counted(sales: Iterable[bytes]) -> set[tuple[str, int, int]]:
    """What should come of them."""
    seen: Counter[str] = Counter()
    expected = set()
    for item in map(json.loads, sales):
        seen[item["till"]] += 1
        expected.add((item["till"], item["number"], seen[item["till"]]))
    return expected


async def counts(client: Client, app: str, enough: int) -> set[tuple[str, int, int]]:
    """What has come, as soon as it is so many; nothing came twice, and nothing more comes."""
    values = await records(client, f"{app}-counts", enough)
    found = [(item["till"], item["number"], item["count"]) for item in map(json.loads, values)]
    assert len(found) == len({number for _, number, _ in found}), "something came twice"
    return set(found)


async def records(client: Client, topic: str, enough: int) -> list[bytes]:
    """The values in a topic, as soon as they are so many; there are no more of them."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            values = [record.value async for record in client.read(topic, start="earliest", until="latest")]
            if len(values) >= enough:
                break
            await asyncio.sleep(LOOK_S)
    assert enough == len(values), f"{topic} has {len(values)} records"
    return values


async def deploy(client: Client, app: str, content: bytes, *, partitions: int = 3) -> DeploymentView:
    """With its topics."""
    return await client.deploy_app(content, file_name=f"{app}.py", create_topics=True, partitions=partitions)


async def look(client: Client, app: str, condition: Callable[[StageView], bool], *, version: int = 1) -> StageView:
    """What describe says of its processor, when that is so; the test fails with what it says if it never is."""
    found: StageView | None = None
    try:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                with contextlib.suppress(RiverrunError):
                    found = stage_of(await client.describe_app(app), version)
                    if condition(found):
                        return found
                await asyncio.sleep(LOOK_S)
    except TimeoutError:
        raise AssertionError(f"describe says only {found}") from None


def stage_of(app: AppView, version: int = 1) -> StageView:
    """Its one processor."""
    return next(stage for stage in app.stages if stage.version == version)


def states(stage: StageView) -> set[str]:
    """Of its tasks."""
    return {str(task.state) for task in stage.tasks}


def stopped(stage: StageView) -> list[TaskView]:
    """Those of its tasks that stand."""
    return [task for task in stage.tasks if str(task.state) == "stopped"]


def why(stage: StageView) -> str:
    """What its tasks say."""
    return " | ".join(task.why for task in stage.tasks if task.why)


class Probe:
    """Publishes to a topic of its own, at its own pace, whatever happens. `latencies_s`: until it was acknowledged."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._failed = 0
        self.latencies_s: list[float] = []

    @contextlib.asynccontextmanager
    async def watching(self, what: str) -> "AsyncIterator[Probe]":
        """Measure while the block is run, and say what was seen."""
        self.latencies_s = []
        running = asyncio.create_task(self._run())
        try:
            yield self
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        assert not self._failed, f"{self._failed} of {len(self.latencies_s)} publishes failed"
        print(f"{what}: {self}")

    def quantile(self, part: float) -> float:
        """In seconds."""
        ordered = sorted(self.latencies_s)
        return ordered[min(math.ceil(part * len(ordered)), len(ordered)) - 1] if ordered else 0.0

    def __str__(self) -> str:
        p50, p99 = self.quantile(0.5) * 1e3, self.quantile(0.99) * 1e3
        return f"{len(self.latencies_s)} publishes, p50 {p50:.1f} ms, p99 {p99:.1f} ms"

    async def _run(self) -> None:
        await self._client.create_topic(PROBE_TOPIC, partitions=3, if_absent=True)
        under_way: set[asyncio.Task[None]] = set()
        try:
            while True:
                task = asyncio.create_task(self._publish())
                under_way.add(task)
                task.add_done_callback(under_way.discard)
                await asyncio.sleep(PROBE_EACH_S)
        finally:
            await asyncio.gather(*under_way, return_exceptions=True)

    async def _publish(self) -> None:
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        try:
            await self._client.publish(PROBE_TOPIC, b"x" * 100, key=b"%d" % len(self.latencies_s))
        except RiverrunError:
            self._failed += 1
        self.latencies_s.append(loop.time() - began_s)


async def until(condition: Callable[[], bool]) -> None:
    """Return when that is so: of what tells nobody when it changes."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110  files and processes
            await asyncio.sleep(LOOK_S)


def children(cluster: LocalCluster, nodes: Sequence[int] = ()) -> list[int]:
    """Processes with user code of these nodes, or of all of them."""
    parents = {cluster.pid(node) for node in nodes or cluster.nodes} - {None}
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            pid, _, rest = path.read_text().partition(" ")
            if int(rest.rpartition(")")[2].split()[1]) in parents:
                found.append(int(pid))
    return found


def resident_bytes(pid: int | None) -> int:
    """Memory of a process, as it is now."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def riverrun(cluster: LocalCluster, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """The command, against this cluster."""
    return subprocess.run(
        [sys.executable, "-m", "cluster.cli", *arguments],
        env=os.environ | {"RIVERRUN_SERVER": cluster.address(1), "COLUMNS": "160"},
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
    )
